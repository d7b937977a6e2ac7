// Cards come ready to read; only what changed is written, so that a text being marked with the mouse stays marked.

export default function ({ data, parentElement }) {
  const list = parentElement.querySelector("dl")
  list.setAttribute("aria-label", data.label)
  while (list.children.length > data.cards.length) list.lastChild.remove()
  data.cards.forEach((card, index) => fill(list.children[index] ?? list.appendChild(emptyCard()), card))
}

function emptyCard() {
  const card = document.createElement("div")
  card.className = "card"
  for (const [tag, name] of [["dt", ""], ["dd", "value"], ["dd", "note"]]) {
    const part = document.createElement(tag)
    part.className = name
    card.append(part)
  }
  return card
}

function fill(drawn, card) {
  const [label, value, note] = drawn.children
  write(label, card.label)
  write(value, card.value)
  write(note, card.note)
  note.className = `note ${card.tone}`
  drawn.title = card.help
}

function write(part, text) {
  if (part.textContent !== text) part.textContent = text
}
