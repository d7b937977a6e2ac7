// Tables with their columns. A click tells the SQL field, over an event of the window, what to write at its caret.

const RESERVED = /^(all|analyse|analyze|and|any|array|as|asc|both|case|cast|check|collate|column|constraint|create|default|desc|describe|distinct|do|else|end|except|false|fetch|for|foreign|from|group|having|in|initially|intersect|into|lambda|lateral|leading|limit|not|null|offset|on|only|or|order|pivot|primary|qualify|references|returning|select|show|some|summarize|table|then|to|trailing|true|union|unique|unpivot|using|variadic|when|where|window|with)$/i
const quoted = name => (/^[A-Za-z_]\w*$/.test(name) && !RESERVED.test(name) ? name : `"${name.replaceAll('"', '""')}"`)
const write = words => window.dispatchEvent(new CustomEvent("luthier-sql-insert", { detail: words }))
const states = new WeakMap()

export default function ({ data, parentElement }) {
  const [find, list, none] = [".find", ".list", ".none"].map(s => parentElement.querySelector(s))
  const state = states.get(parentElement) ?? { open: new Set() }
  states.set(parentElement, state)
  const tables = data.tables ?? []
  if (tables.length === 1) state.open.add(tables[0].name)

  const draw = () => {
    const words = find.value.trim().toLowerCase()
    const shown = tables.filter(t => !words || t.name.toLowerCase().includes(words) || t.columns.some(([c]) => c.toLowerCase().includes(words)))
    list.replaceChildren(...shown.map(table => drawTable(table, words, state)))
    if (!words && data.more) list.append(make("p", "more", `… and ${data.more.toLocaleString("en")} more tables`))
    none.hidden = shown.length > 0
  }
  find.hidden = tables.length < 2 && (tables[0]?.columns.length ?? 0) < 12
  find.oninput = draw
  draw()
}

function drawTable(table, words, state) {
  const box = make("details"), head = make("summary")
  const use = make("button", "use", "Insert")
  use.type = "button"
  use.title = `Write ${table.name} at the caret`
  use.onclick = event => { event.preventDefault(); write(table.name) }
  const title = make("span", "title", table.name)
  title.title = table.name
  head.append(title, make("span", "rows", `${table.rows.toLocaleString("en")} ${table.rows === 1 ? "row" : "rows"}`), use)
  const columns = make("div", "columns")
  const fits = table.columns.filter(([name]) => words && name.toLowerCase().includes(words))
  for (const [name, type] of fits.length && !table.name.toLowerCase().includes(words) ? fits : table.columns) columns.append(drawColumn(name, type))
  if (table.more) columns.append(make("p", "more", `… and ${table.more.toLocaleString("en")} more columns`))
  box.open = state.open.has(table.name) || fits.length > 0
  box.ontoggle = () => (box.open ? state.open.add(table.name) : words || state.open.delete(table.name))
  box.append(head, columns)
  return box
}

function drawColumn(name, type) {
  const line = make("button", "column")
  line.type = "button"
  line.title = `${name}: ${type}. Click to write it at the caret.`
  line.onclick = () => write(quoted(name))
  line.append(make("span", "name", name), make("span", "type", type))
  return line
}

function make(kind, className = "", text = "") {
  const made = document.createElement(kind)
  if (className) made.className = className
  if (text) made.textContent = text
  return made
}
