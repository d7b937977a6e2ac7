// Cards come ready to read; this lays them out and tells what was clicked. Details that were unfolded stay so.

export default function ({ data, parentElement, setTriggerValue }) {
  const cards = parentElement.querySelector(".cards")
  const unfolded = new Set([...cards.querySelectorAll("details[open]")].map(one => one.dataset.name))
  cards.classList.remove("skeleton")
  cards.replaceChildren(...data.cards.map(card => drawCard(card, what => setTriggerValue("acted", what), unfolded)))
}

function drawCard(card, act, unfolded) {
  const drawn = make("article", { class: "card", role: "listitem", "aria-label": card.name })
  const head = make("div", { class: "head" })
  head.append(make("span", { class: "name", title: card.name }, card.name), make("span", { class: "type", title: card.full_type }, card.type))
  drawn.append(head, counts(card, act), chart(card, act))
  if (card.flags.length) drawn.append(flags(card, act))
  if (card.sections.length) drawn.append(details(card, act, unfolded))
  return drawn
}

function counts(card, act) {
  const line = make("div", { class: "counts" })
  for (const text of card.counts) line.append(make("span", {}, text))
  if (card.nulls) line.append(press({ class: "nulls", title: "Show these rows" }, card.nulls, () => act({ nulls: card.name })))
  return line
}

function chart(card, act) {
  const place = make("div", { class: "chart" })
  if (card.bars) place.append(bars(card.bars, n => act({ bar: card.name, number: n })), ends(card.ends))
  else if (card.tops.length) place.append(tops(card, act))
  else place.append(make("p", { class: "note" }, card.note))
  return place
}

function bars(drawn, chosen) {
  const row = make("div", { class: "bars" })
  drawn.forEach((bar, n) => {
    const fill = make("i", { style: `height:${bar.height * 100}%` })
    const one = chosen ? press({ class: "bar", title: bar.label, "aria-label": bar.label }, null, () => chosen(n)) : make("span", { class: "bar", title: bar.label })
    one.append(fill)
    row.append(one)
  })
  return row
}

function ends([low, high]) {
  const line = make("div", { class: "ends" })
  line.append(make("span", {}, low), make("span", {}, high))
  return line
}

function tops(card, act) {
  const list = make("div", { class: "tops" })
  card.tops.forEach((top, n) => {
    const one = press({ class: "top", title: `${top.text}: ${top.count}` }, null, () => act({ value: card.name, number: n }))
    one.append(make("i", { style: `width:${top.share * 100}%` }), make("span", { class: top.is_odd ? "odd" : "" }, top.text))
    one.append(make("span", { class: "share" }, top.percent))
    list.append(one)
  })
  if (card.other) list.append(make("div", { class: "other" }, card.other))
  return list
}

function flags(card, act) {
  const line = make("div", { class: "flags" })
  for (const flag of card.flags) line.append(press({ class: `flag ${flag.severity}`, title: flag.help }, flag.text, () => act({ finding: flag.key })))
  return line
}

function details(card, act, unfolded) {
  const folded = make("details", { "data-name": card.name })
  folded.open = unfolded.has(card.name)
  folded.append(make("summary", {}, "Details"))
  for (const section of card.sections) {
    folded.append(make("h4", {}, section.title))
    if (section.bars) {
      const small = make("div", { class: "small plain" })
      small.append(bars(section.bars, null), ends(section.ends))
      folded.append(small)
    }
    if (section.pairs) folded.append(pairs(section.pairs, act))
    if (section.list) folded.append(list(section.list))
  }
  return folded
}

function pairs(found, act) {
  const table = make("dl")
  for (const [term, value, line] of found) {
    const cell = make("dd")
    cell.append(line ? press({ class: "jump", title: "Show this row" }, value, () => act({ line })) : value)
    table.append(make("dt", {}, term), cell)
  }
  return table
}

function list(texts) {
  const found = make("ul")
  for (const text of texts) found.append(make("li", { title: text }, text))
  return found
}

function press(attributes, text, act) {
  const button = make("button", { type: "button", ...attributes }, text ?? undefined)
  button.onclick = act
  return button
}

function make(tag, attributes = {}, text) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) if (value) made.setAttribute(name, value)
  if (text !== undefined) made.textContent = text
  return made
}
