// A sequence of tokens: [text, id, bits]. Texts are only ever set as text. A later part of a character that is split over tokens has
// no text of its own: it is shown as a dot when boundaries are.

const [LEARNED, CUT, SPECIAL, JOINED, STARTS] = [1, 2, 4, 8, 16]

export default function ({ data, parentElement }) {
  const [title, counts, tokens, more] = [".title", ".counts", ".tokens", ".more"].map(s => parentElement.querySelector(s))
  title.textContent = data.title
  counts.textContent = data.counts
  tokens.className = `tokens ${data.tone} ${data.boundaries ? "edges" : ""}`
  tokens.setAttribute("aria-label", `${data.title || "The row"} as tokens: ${data.counts}`)
  tokens.replaceChildren(...data.pieces.flatMap(piece => drawn(piece, data.boundaries)))
  more.hidden = data.left_out === 0
  more.textContent = `… and ${data.left_out.toLocaleString("en")} tokens more; the counts are of all.`
}

function drawn([text, id, bits], boundaries) {
  const box = document.createElement("span")
  const state = bits & CUT ? "cut away" : bits & LEARNED ? "learned" : "read"
  box.className = ["token", bits & CUT ? "cut" : bits & LEARNED ? "learned" : "", bits & SPECIAL ? "special" : ""].join(" ")
  box.title = `${id} · ${state}${bits & SPECIAL ? " · special token" : ""}${bits & JOINED ? " · part of the character before it" : ""}`
  if (bits & JOINED) {
    if (boundaries) box.append(sign("·"))
  } else for (const part of text.split(/(\n)/)) {
    if (part === "\n") box.append(sign("↵"), "\n")
    else if (part) box.append(part)
  }
  if (!(bits & STARTS)) return [box]
  const line = document.createElement("span")
  line.className = "starts"
  return [line, box]
}

function sign(text) {
  const made = document.createElement("span")
  made.className = "sign"
  made.textContent = text
  return made
}
