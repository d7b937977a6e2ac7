// A text area with painted SQL behind it. Ctrl or Cmd + Enter runs; Tab leaves the field, as keyboard users expect.
// Python replaces the text by a new "revision" and gets it when it is submitted. The list of tables beside it asks for names to be
// written at the caret by an event of the window.

const KEYWORDS = new Set(
  ("all and any as asc between by case cast cross cube desc distinct else end except exclude exists false filter following for from full " +
    "group having ilike in inner intersect interval into is join lateral left like limit natural not null nulls offset on or order " +
    "outer over partition pivot preceding qualify recursive replace right rollup row rows sample select semi anti set then true unbounded " +
    "union unnest unpivot using values when where window with").split(" ")
)
const TOKENS = /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|('(?:[^']|'')*'?)|("(?:[^"]|"")*"?)|(\b\d+(?:\.\d+)?(?:e[+-]?\d+)?\b)|([A-Za-z_]\w*)/gi
const seen = new WeakMap()

export default function ({ data, parentElement, setTriggerValue }) {
  const [text, paint, run, keys] = [".text", ".paint", ".run", ".keys"].map(s => parentElement.querySelector(s))
  const known = seen.get(parentElement) ?? {}
  seen.set(parentElement, known)

  const repaint = () => paintInto(paint, text.value, known.edited ? null : data.wrong)
  const submit = () => setTriggerValue("submitted", { text: text.value, at: Date.now() })

  if (known.revision !== data.revision) {
    known.revision = data.revision
    known.edited = false
    text.value = data.text ?? ""
  }
  if (known.wrong !== data.wrong) known.edited = false
  known.wrong = data.wrong
  keys.textContent = /mac/i.test(navigator.platform) ? "⌘ Enter" : "Ctrl + Enter"
  text.oninput = () => { known.edited = true; repaint() }
  text.onscroll = () => { paint.scrollTop = text.scrollTop; paint.scrollLeft = text.scrollLeft }
  text.onkeydown = event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); submit() }
  }
  run.onclick = submit
  if (!known.listens) listen(text)
  known.listens = true
  repaint()
}

function listen(text) {
  const write = event => {
    if (text.isConnected) insert(text, event.detail)
    else window.removeEventListener("luthier-sql-insert", write) // the page was left
  }
  window.addEventListener("luthier-sql-insert", write)
}

function paintInto(paint, sql, wrong) {
  const parts = []
  let at = 0
  for (const match of sql.matchAll(TOKENS)) {
    const [token, comment, string, , number, word] = match
    const kind = comment ? "comment" : string ? "string" : number ? "number" : word && KEYWORDS.has(word.toLowerCase()) ? "keyword" : ""
    const isWrong = wrong !== null && wrong !== undefined && match.index <= wrong && wrong < match.index + token.length
    if (!kind && !isWrong) continue
    parts.push(sql.slice(at, match.index), span(`${kind} ${isWrong ? "wrong" : ""}`, token))
    at = match.index + token.length
  }
  paint.replaceChildren(...parts, sql.slice(at) + "\n")
}

function span(kind, text) {
  const made = document.createElement("span")
  made.className = kind
  made.textContent = text
  return made
}

function insert(text, words) {
  const before = text.value.slice(0, text.selectionStart)
  const space = before && !/[\s(.,]$/.test(before) ? " " : ""
  text.setRangeText(space + words, text.selectionStart, text.selectionEnd, "end")
  text.dispatchEvent(new Event("input"))
  text.focus()
}
