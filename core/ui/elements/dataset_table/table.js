// Rows come ready to read; this lays them out. A header asks for another order, a row (or Enter on its link) is opened,
// the arrow keys, Home and End move between the links.

export default function ({ data, parentElement, setTriggerValue }) {
  const head = parentElement.querySelector("thead"), body = parentElement.querySelector("tbody")
  const order = parentElement.querySelector("select")
  const held = parentElement.activeElement?.dataset?.id ?? parentElement.getRootNode().activeElement?.dataset?.id
  const ask = name => setTriggerValue("sorted", name)

  parentElement.querySelector("table").classList.remove("skeleton")
  head.replaceChildren(headers(data, ask))
  fillOrder(order, data, ask)
  body.replaceChildren(...data.rows.map(row => drawRow(row, data.columns)))
  if (held) body.querySelector(`a[data-id="${CSS.escape(held)}"]`)?.focus({ preventScroll: true })
  body.onkeydown = moveBetweenLinks
}

function headers({ columns, sort }, ask) {
  const row = make("tr", { role: "row" })
  for (const column of columns) {
    const cell = make("th", { role: "columnheader", scope: "col", class: column.kind })
    const by = column.sort.replace(/^-/, "")
    const isChosen = by && sort.replace(/^-/, "") === by
    if (isChosen) cell.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending")
    cell.append(by ? sorter(column, sort, isChosen, ask) : column.label)
    row.append(cell)
  }
  return row
}

function sorter(column, sort, isChosen, ask) {
  const button = make("button", { type: "button", title: `Sort by ${column.label.toLowerCase()}` })
  button.append(column.label, make("span", { class: "arrow", "aria-hidden": "true" }, isChosen ? (sort.startsWith("-") ? "↓" : "↑") : ""))
  button.onclick = () => ask(isChosen ? turned(sort) : column.sort)
  return button
}

const turned = sort => (sort.startsWith("-") ? sort.slice(1) : "-" + sort)

function fillOrder(select, { columns, sort }, ask) {
  const options = columns.filter(c => c.sort).flatMap(c => [c.sort, turned(c.sort)].map(name => [name, c.label]))
  select.replaceChildren(...options.map(([name, label]) => {
    const option = make("option", { value: name }, `${label} ${name.startsWith("-") ? "↓" : "↑"}`)
    option.selected = name === sort
    return option
  }))
  select.onchange = () => ask(select.value)
}

function drawRow(row, columns) {
  const line = make("tr", { role: "row", class: row.tone })
  for (const column of columns) {
    const cell = make("td", { role: "cell", class: column.kind, "data-unit": unitOf(column, row) })
    cell.append(...(DRAWN[column.name] ?? drawText)(row, column))
    line.append(cell)
  }
  line.onclick = event => {
    const isOwn = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0
    if (isOwn || String(getSelection()).length) return
    event.preventDefault()
    visit(row.href)
  }
  return line
}

// As if it had been an ordinary link, without loading the page anew: Streamlit follows the browser's history. A page that is
// switched to by the server leaves a broken address behind, to which the back button would return.
function visit(href) {
  history.pushState({}, "", href)
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }))
}

// "1 row", "2 rows": on a card the numbers stand without their headers.
const unitOf = ({ label, name }, row) => (row[name] === "1" ? label.replace(/s$/, "") : label).toLowerCase()

const DRAWN = { name: drawName, training: drawTraining }

function drawName(row) {
  const link = make("a", { href: row.href, "data-id": row.id }, row.name)
  const parts = [link]
  if (row.mark) parts.push(make("span", { class: "mark", title: row.mark_help }, row.mark))
  if (row.about) parts.push(make("div", { class: "about", title: row.about }, row.about))
  return parts
}

function drawTraining(row) {
  const parts = [make("span", { class: `badge ${row.tone}` }, row.state)]
  if (row.progress !== null) {
    const bar = make("progress", { max: "1", value: String(row.progress), "aria-label": row.state })
    parts.push(bar)
  }
  parts.push(make("div", { class: "why", title: row.why }, row.why))
  return parts
}

function drawText(row, column) {
  const value = make("span", {}, row[column.name] ?? "–")
  if (row[`${column.name}_help`]) value.title = row[`${column.name}_help`]
  return [value]
}

function moveBetweenLinks(event) {
  const links = [...event.currentTarget.querySelectorAll("a[data-id]")]
  const at = links.indexOf(event.target)
  const wanted = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key]
  if (at < 0 || wanted === undefined || !links[wanted]) return
  event.preventDefault()
  links[wanted].focus()
}

function make(tag, attributes = {}, text) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) if (value) made.setAttribute(name, value)
  if (text !== undefined) made.textContent = text
  return made
}
