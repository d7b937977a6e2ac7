// One row's fields, whole. A value is [kind, content]: null, string, number, boolean, list of values, object as [name, value] pairs;
// numbers come as text, so that none loses digits. Nothing here is ever read as HTML.

const OPEN_TO = 2
const FIND_FROM = 15

export default function ({ data, parentElement }) {
  const [find, copy, said, fields] = [".find", ".copy", ".said", ".fields"].map(s => parentElement.querySelector(s))
  fields.classList.remove("skeleton")
  fields.replaceChildren(...data.fields.map(field))
  find.hidden = data.fields.length < FIND_FROM
  find.value = ""
  find.oninput = () => {
    const wanted = find.value.toLowerCase()
    for (const one of fields.children) one.hidden = !one.dataset.name.includes(wanted)
  }
  copy.hidden = data.json === null
  said.textContent = data.json === null ? "Too long to copy: download it instead." : ""
  copy.onclick = () => toClipboard(data.json, parentElement).then(
    () => { said.textContent = "Copied" },
    () => { said.textContent = "The browser did not allow it" }
  )
}

function field({ name, type, value }) {
  const box = element("div", "field")
  box.dataset.name = name.toLowerCase()
  const title = element("dt", "", name)
  title.append(element("small", "", type))
  const content = element("dd")
  content.append(...drawn(value))
  box.append(title, content)
  return box
}

function drawn([kind, content, more]) {
  if (kind === "list" || kind === "object") {
    const tree = element("div", "tree")
    tree.append(branch("", [kind, content, more], 0))
    return [tree]
  }
  const parts = [leaf([kind, content], kind === "string" ? "text" : kind)]
  if (more) parts.push(element("div", "more", more))
  return parts
}

function branch(name, [kind, content, more], depth) {
  if (kind !== "list" && kind !== "object") {
    const line = element("div")
    if (name !== "") line.append(element("span", "key", `${name}: `))
    line.append(leaf([kind, content], `leaf ${kind}`))
    if (more) line.append(element("div", "more", more))
    return line
  }
  const box = element("details")
  box.open = depth < OPEN_TO
  const head = element("summary")
  if (name !== "") head.append(element("b", "", `${name} `))
  const length = content.length
  head.append(kind === "list" ? `${length} ${length === 1 ? "item" : "items"}` : `${length} ${length === 1 ? "field" : "fields"}`)
  const inner = element("div", "inner")
  const fill = () => {
    if (inner.childNodes.length) return
    inner.append(...content.map((part, index) => (kind === "list" ? branch(String(index + 1), part, depth + 1) : branch(part[0], part[1], depth + 1))))
    if (more) inner.append(element("div", "more", more))
  }
  if (box.open) fill()
  box.ontoggle = fill
  box.append(head, inner)
  return box
}

function leaf([kind, content], name) {
  if (kind === "null") return element("span", "nothing missing", "null")
  if (kind === "string" && content === "") return element("span", "nothing", "empty text")
  return element(name.includes("leaf") ? "span" : "div", name, content)
}

async function toClipboard(text, parent) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = element("textarea")  // no clipboard on plain http
  area.value = text
  const dialog = parent.getRootNode().host?.closest('[role="dialog"]') ?? document.body
  dialog.append(area)
  area.select()
  const done = document.execCommand("copy")
  area.remove()
  if (!done) throw new Error("not allowed")
}

function element(tag, name = "", text = "") {
  const made = document.createElement(tag)
  made.className = name
  made.textContent = text
  return made
}
