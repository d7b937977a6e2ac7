// Rows come ready to read; this lays them out. A header asks for another order, a row (or Enter on its link) is opened,
// a tick (Space) chooses it, the arrow keys, Home and End move between the links, or between the ticks.

const PATIENCE = 3000 // ms in which the server may still draw what was chosen before
const told = new WeakMap() // element -> {ids, at}: what was ticked here and has not come back yet
const asked = new WeakMap() // element -> {sort, at}: the order that was asked for here and has not come back yet

export default function ({ data, parentElement, setTriggerValue }) {
  const head = parentElement.querySelector("thead"), body = parentElement.querySelector("tbody")
  const order = parentElement.querySelector("select")
  const held = parentElement.activeElement?.dataset?.key ?? parentElement.getRootNode().activeElement?.dataset?.key
  const ask = sort => {
    asked.set(parentElement, { sort, at: Date.now() })
    setTriggerValue("sorted", sort)
    drawHead(sort) // a second click before the answer turns this order, not the one before
  }
  const drawHead = sort => {
    const key = parentElement.getRootNode().activeElement?.dataset?.key
    head.replaceChildren(headers({ ...data, sort }, ask, tick))
    fillOrder(order, { ...data, sort }, ask)
    markTicked(parentElement, chosen)
    if (key) head.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true })
  }
  const chosen = chosenNow(parentElement, data)
  const tick = (ids, on) => {
    for (const id of ids) on ? chosen.add(id) : chosen.delete(id)
    told.set(parentElement, { ids: [...chosen], at: Date.now() })
    setTriggerValue("chosen", [...chosen])
    markTicked(parentElement, chosen)
  }

  const table = parentElement.querySelector("table")
  table.classList.remove("skeleton")
  table.setAttribute("aria-label", data.label)
  table.classList.toggle("ticks", Boolean(data.chosen))
  drawHead(sortNow(parentElement, data))
  body.replaceChildren(...data.rows.map(row => drawRow(row, data, tick)))
  markTicked(parentElement, chosen)
  if (held) parentElement.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus({ preventScroll: true })
  body.onkeydown = moveBetween
}

// The server may still draw an older choice while the next tick is on its way.
function chosenNow(element, data) {
  const shown = new Set(data.rows.map(row => row.id)), known = new Set((data.chosen ?? []).filter(id => shown.has(id)))
  const last = told.get(element)
  const isBack = !last || Date.now() - last.at > PATIENCE || (last.ids.length === known.size && last.ids.every(id => known.has(id)))
  if (isBack) told.delete(element)
  return isBack ? known : new Set(last.ids.filter(id => shown.has(id)))
}

// The same of the order.
function sortNow(element, data) {
  const last = asked.get(element)
  const isBack = !last || Date.now() - last.at > PATIENCE || last.sort === data.sort
  if (isBack) asked.delete(element)
  return isBack ? data.sort : last.sort
}

function markTicked(element, chosen) {
  const boxes = [...element.querySelectorAll("tbody input[type=checkbox]")]
  for (const box of boxes) {
    box.checked = chosen.has(box.dataset.id)
    box.closest("tr").classList.toggle("ticked", box.checked)
  }
  const all = element.querySelector("thead input[type=checkbox]"), number = boxes.filter(box => box.checked).length
  if (!all) return
  all.checked = number > 0 && number === boxes.length
  all.indeterminate = number > 0 && number < boxes.length
}

function ticker(id, label, onTick) {
  const box = make("input", { type: "checkbox", "aria-label": label, "data-id": id, "data-key": `tick:${id}` })
  box.onchange = () => onTick(box.checked)
  return box
}

function headers({ columns, sort, rows, chosen }, ask, tick) {
  const row = make("tr", { role: "row" })
  if (chosen) {
    const cell = make("th", { role: "columnheader", scope: "col", class: "chosen-cell" })
    cell.append(ticker("", "Choose all shown", on => tick(rows.map(one => one.id), on)))
    row.append(cell)
  }
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
  const button = make("button", { type: "button", title: `Sort by ${column.label.toLowerCase()}`, "data-key": `sort:${column.name}` })
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
  if (!options.some(([name]) => name === sort)) { // by a column that is not shown
    const other = make("option", { value: sort }, "Another column")
    other.selected = true
    select.prepend(other)
  }
  select.onchange = () => ask(select.value)
}

function drawRow(row, data, tick) {
  const line = make("tr", { role: "row", class: row.tone })
  if (data.chosen) {
    const cell = make("td", { role: "cell", class: "chosen-cell" })
    cell.append(ticker(row.id, `Choose ${row.name}`, on => tick([row.id], on)))
    line.append(cell)
  }
  for (const column of data.columns) {
    const cell = make("td", { role: "cell", class: column.kind, "data-unit": unitOf(column, row) })
    cell.append(...(DRAWN[column.name] ?? drawText)(row, column, data))
    line.append(cell)
  }
  line.onclick = event => {
    if (event.target.closest(".chosen-cell")) return
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

const DRAWN = { name: drawName, training: drawState, status: drawState, tags: drawTexts, aliases: drawTexts }

function drawName(row) {
  const link = make("a", { href: row.href, "data-id": row.id, "data-key": `row:${row.id}` }, row.name)
  const parts = [link]
  if (row.mark) parts.push(make("span", { class: "mark", title: row.mark_help }, row.mark))
  if (row.about) parts.push(make("div", { class: "about", title: row.about }, row.about))
  return parts
}

function drawState(row) {
  const parts = [make("span", { class: `badge ${row.tone}` }, row.state)]
  if (row.progress !== null) {
    const bar = make("progress", { max: "1", value: String(row.progress), "aria-label": row.state })
    parts.push(bar)
  }
  if (row.why) parts.push(make("div", { class: "why", title: row.why }, row.why))
  return parts
}

function drawTexts(row, column) {
  const texts = make("div", { class: "texts" })
  for (const text of row[column.name] ?? []) texts.append(make("span", { class: "badge" }, text))
  return [texts]
}

function drawText(row, column, { missing }) {
  const text = row[column.name] ?? null
  const value = make("span", { class: text === null ? "missing" : "" }, text ?? missing)
  if (row[`${column.name}_help`]) value.title = row[`${column.name}_help`]
  return [value]
}

function moveBetween(event) {
  const kind = event.target.matches("a[data-id]") ? "a[data-id]" : "input[data-id]"
  const stops = [...event.currentTarget.querySelectorAll(kind)], at = stops.indexOf(event.target)
  const wanted = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: stops.length - 1 }[event.key]
  if (at < 0 || wanted === undefined || !stops[wanted]) return
  event.preventDefault()
  stops[wanted].focus()
}

function make(tag, attributes = {}, text) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) if (value) made.setAttribute(name, value)
  if (text !== undefined) made.textContent = text
  return made
}
