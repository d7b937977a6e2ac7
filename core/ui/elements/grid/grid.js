// A table of one page of rows, drawn by hand: a strip of statistics above each column, one row per line, everything as text.
// What the reader does is told to Python as the trigger "acted": {sort}, {bar}, {value}, {nulls} with a column's number, or {row}.
// Cells are strings; null is null. Nothing here is ever read as HTML.

const known = new WeakMap()
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-10, 0], PageDown: [10, 0] }

export default function ({ data, parentElement, setTriggerValue }) {
  const find = selector => parentElement.querySelector(selector)
  const grid = { frame: find(".frame"), table: find("table"), head: find("thead"), body: find("tbody"), data }
  const before = known.get(parentElement) ?? {}
  grid.act = what => {
    grid.frame.setAttribute("aria-busy", "true")
    clearTimeout(before.waiting)
    before.waiting = setTimeout(() => grid.frame.setAttribute("aria-busy", "false"), 8000)
    setTriggerValue("acted", { ...what, at: Date.now() })
  }
  clearTimeout(before.waiting)
  grid.frame.setAttribute("aria-busy", "false")
  grid.frame.classList.remove("skeleton")
  grid.table.setAttribute("aria-label", data.label)
  grid.table.setAttribute("aria-rowcount", data.total + 1)
  grid.table.setAttribute("aria-colcount", data.columns.length + 1)
  const drawn = JSON.stringify(data)
  if (drawn !== before.drawn) draw(grid, before)
  known.set(parentElement, Object.assign(before, { drawn, page: data.page }))
}

function draw(grid, before) {
  const { frame, head, body, data } = grid
  const at = focusedPlace(grid)
  head.replaceChildren(headRow(grid))
  body.replaceChildren(...(data.rows.length ? data.rows.map((row, index) => bodyRow(grid, row, index)) : [nothing(data)]))
  if (before.page !== data.page) frame.scrollTop = 0
  body.onkeydown = event => onKey(grid, event)
  body.onclick = event => onClick(grid, event)
  body.onfocusin = event => rove(grid, event.target)
  rove(grid, cellAt(grid, at?.row ?? 0, at?.column ?? 0))
  if (at) cellAt(grid, at.row, at.column)?.focus({ preventScroll: true })
  const open = body.querySelector("tr.open")
  if (open && before.open !== data.open) open.scrollIntoView({ block: "nearest" })
  before.open = data.open
}

// The header strip

function headRow(grid) {
  const row = element("tr")
  row.append(element("th", "line", "#"), ...grid.data.columns.map((column, index) => headCell(grid, column, index)))
  row.firstChild.scope = "col"
  return row
}

function headCell(grid, column, index) {
  const cell = element("th")
  cell.scope = "col"
  cell.setAttribute("aria-colindex", index + 2)
  cell.setAttribute("aria-sort", { asc: "ascending", desc: "descending" }[column.sort] ?? "none")
  const head = element("div", "head")
  const next = { asc: "Sort descending", desc: "Back to the file's order" }[column.sort] ?? "Sort ascending"
  const name = button("name", column.name, `${column.name}\n${next}`, () => grid.act({ sort: index }))
  head.append(name)
  if (column.sort) head.append(hidden(element("span", "arrow", column.sort === "asc" ? "↑" : "↓")))
  const type = element("span", "type", column.type)
  type.title = column.full_type
  head.append(type)
  cell.append(head)
  if (column.strip) cell.append(...strip(grid, column, index))
  return cell
}

function strip(grid, column, index) {
  const { bars, ends, tops, other, nulls, nulls_on, distinct, note } = column.strip
  const inner = element("div", "strip")
  if (bars) inner.append(histogram(grid, column, index), labelled("ends", ends))
  else if (tops) inner.append(topValues(grid, column, index, tops, other))
  else if (note) inner.append(element("div", "other", note))
  const counts = element("div", "counts")
  const share = nulls === null ? element("span", "", "no nulls") : button(`nulls ${nulls_on ? "on" : ""}`, nulls, "", () => grid.act({ nulls: index }))
  if (nulls !== null) describe(share, `${column.name}: ${nulls}. ${nulls_on ? "Remove this filter" : "Show only these rows"}`, nulls_on)
  counts.append(share, element("span", "", distinct ?? ""))
  return [inner, counts]
}

function histogram(grid, column, index) {
  const { bars } = column.strip
  const box = element("div", `bars ${bars.some(bar => bar.on) ? "chosen" : ""} ${bars.some(bar => bar.part !== null) ? "narrowed" : ""}`)
  box.setAttribute("role", "toolbar")
  box.setAttribute("aria-label", `Distribution of ${column.name}`)
  bars.forEach((bar, number) => {
    const made = button(bar.on ? "bar on" : "bar", "", bar.label, event => grid.act({ bar: index, number, extend: event.shiftKey }))
    describe(made, `${column.name} ${bar.label}`, bar.on)
    made.tabIndex = number === 0 ? 0 : -1
    const fill = element("i")
    fill.style.height = `${bar.height * 100}%`
    made.append(fill, ...partOf(bar.part, "height"))
    box.append(made)
  })
  box.onkeydown = event => moveWithin(box, event)
  return box
}

function topValues(grid, column, index, tops, other) {
  const box = element("div", tops.some(value => value.part !== null) ? "tops narrowed" : "tops")
  tops.forEach((value, number) => {
    const made = button(value.on ? "top on" : "top", "", `${value.text}: ${value.count}`, () => grid.act({ value: index, number }))
    describe(made, `${column.name} is ${value.text}: ${value.count}`, value.on)
    const fill = element("i")
    fill.style.width = `${Math.max(value.share * 100, 1)}%`
    made.append(fill, ...partOf(value.part, "width"), element("span", value.is_odd ? "nothing" : "", value.text), element("span", "share", value.percent))
    box.append(made)
  })
  if (other) box.append(element("div", "other", other))
  return box
}

// How much of it passes the filters, over the whole

function partOf(share, side) {
  if (share === null) return []
  const part = element("i", "part")
  part.style[side] = `${share * 100}%`
  return [part]
}

function moveWithin(box, event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
  if (!step) return
  event.preventDefault()
  const all = [...box.children]
  const next = all[all.indexOf(event.target.closest("button")) + step]
  if (!next) return
  all.forEach(one => { one.tabIndex = one === next ? 0 : -1 })
  next.focus()
}

// Rows

function bodyRow(grid, [line, ...cells], index) {
  const row = element("tr", line === grid.data.open ? "open" : "")
  row.dataset.line = line
  row.setAttribute("aria-rowindex", grid.data.first + index + 1)
  const number = element("th", "line", line.toLocaleString("en-US"))
  number.scope = "row"
  number.title = `Row ${line.toLocaleString("en-US")} of the file: show it whole`
  number.tabIndex = -1
  row.append(number, ...cells.map((cell, at) => bodyCell(cell, grid.data.columns[at], grid.data.words)))
  return row
}

function bodyCell(cell, column, words) {
  const made = element("td", column.kind)
  made.setAttribute("role", "gridcell")
  made.tabIndex = -1
  if (cell === null) made.append(element("span", "nothing missing", "null"))
  else if (cell === "") made.append(element("span", "nothing", "empty text"))
  else {
    made.append(...marked(cell, column.searched ? words : []))
    if (cell.length > 24) made.title = cell
  }
  return made
}

function marked(text, words) {
  const lower = text.toLowerCase()
  if (!words.length || lower.length !== text.length) return [text]
  const parts = []
  let at = 0
  while (at < text.length) {
    const hits = words.map(word => [lower.indexOf(word, at), word.length]).filter(([start]) => start >= 0)
    if (!hits.length) break
    const [start, length] = hits.reduce((a, b) => (b[0] < a[0] || (b[0] === a[0] && b[1] > a[1]) ? b : a))
    parts.push(text.slice(at, start), element("mark", "", text.slice(start, start + length)))
    at = start + length
  }
  return [...parts, text.slice(at)]
}

function nothing(data) {
  const row = element("tr", "none")
  const cell = element("td", "", data.empty)
  cell.colSpan = data.columns.length + 1
  row.append(cell)
  return row
}

// Keys and clicks: one cell of the grid is a tab stop, arrows move it

function onKey(grid, event) {
  const place = placeOf(grid, event.target)
  if (!place) return
  const line = Number(event.target.closest("tr").dataset.line)
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault()
    return grid.act({ row: line })
  }
  const last = grid.data.columns.length
  const jump = { Home: [0, -last], End: [0, last] }[event.key] ?? MOVES[event.key]
  if (!jump || event.ctrlKey || event.metaKey || event.altKey) return
  event.preventDefault()
  const clamp = (n, high) => Math.max(0, Math.min(n, high))
  const next = cellAt(grid, clamp(place.row + jump[0], grid.data.rows.length - 1), clamp(place.column + jump[1], last))
  next?.focus({ preventScroll: true })
  next?.scrollIntoView({ block: "nearest", inline: "nearest" })
}

function onClick(grid, event) {
  const row = event.target.closest("tr")
  const isSelecting = String(window.getSelection?.() ?? "") !== ""
  if (row?.dataset.line && !isSelecting) grid.act({ row: Number(row.dataset.line) })
}

function rove(grid, target) {
  const cell = target?.closest?.("td, th")
  if (!cell || !cell.parentElement.dataset.line) return
  for (const one of grid.body.querySelectorAll('[tabindex="0"]')) one.tabIndex = -1
  cell.tabIndex = 0
}

function focusedPlace(grid) {
  const active = grid.table.getRootNode().activeElement
  return active && grid.body.contains(active) ? placeOf(grid, active) : null
}

function placeOf(grid, target) {
  const cell = target.closest("td, th")
  if (!cell?.parentElement.dataset.line) return null
  return { row: [...grid.body.children].indexOf(cell.parentElement), column: [...cell.parentElement.children].indexOf(cell) }
}

function cellAt(grid, row, column) {
  const line = grid.body.children[Math.min(row, grid.body.children.length - 1)]
  return line?.children[Math.min(column, line.children.length - 1)]
}

// Elements

function button(name, text, title, act) {
  const made = element("button", name, text)
  made.type = "button"
  if (title) made.title = title
  made.onclick = act
  return made
}

function describe(made, label, isPressed) {
  made.setAttribute("aria-label", label)
  made.setAttribute("aria-pressed", Boolean(isPressed))
}

function labelled(name, texts) {
  const made = element("div", name)
  made.append(...texts.map(text => element("span", "", text)))
  return made
}

function hidden(made) {
  made.setAttribute("aria-hidden", "true")
  return made
}

function element(tag, name = "", text = "") {
  const made = document.createElement(tag)
  made.className = name
  made.textContent = text
  return made
}
