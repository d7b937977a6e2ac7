// Keys reach the table in the order in which they were typed, however slow the browser is. The table by itself loses some:
// - a key that comes before the table has taken the focus after a click, or while it moves it, goes to nobody;
// - a key that comes while the table scrolls to the chosen cell opens nothing;
// - the first cell to be opened appears a while after the key that opens it: each key until then begins it anew;
// - the table takes the focus back a moment after each click, also from an open cell;
// - while the pointer rests elsewhere the table forgets which cell is chosen as soon as one is opened;
// - an Enter that comes before the timers of the keys before it have run closes the cell without its text: each of these timers
//   closes it as its own key would. So a key that closes waits for the timers that were set before it.
// Keys and clicks that come while one of these is waited for are held, and given to the page afterwards.

const OPEN_CELL = "#portal textarea, #portal input"
const CLOSING = ["Enter", "Tab", "Escape"]
const MOVING = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]
const CLICKS = ["pointerdown", "mousedown", "pointerup", "mouseup", "click", "dblclick"]
const TAKES_FOCUS = "input, textarea, button, a[href]"
const FOCUS_WITHIN_MS = 300, OPENS_WITHIN_MS = 3000, CLOSES_WITHIN_MS = 2000, LOOK_EVERY_MS = 5, AGAIN_AFTER_MS = 200

const copyOf = event => new event.constructor(event.type, event)
const openCell = () => document.querySelector(OPEN_CELL)
const isWritten = key => key.length === 1
const isHoldable = key => isWritten(key) || key === "Backspace" || CLOSING.includes(key) || MOVING.includes(key)

function followKeys({ isOurs, isTable, canvas, isSwitch }) {
  const held = []
  let isWaiting = false, isLastTouched = false

  const waitUntil = (isSo, patience) => {
    const begin = performance.now()
    const look = () => {
      if (!isSo() && performance.now() - begin < patience) return setTimeout(look, LOOK_EVERY_MS)
      isWaiting = false
      giveNext()
    }
    isWaiting = true
    setTimeout(look)
  }
  const chosenCell = () => document.activeElement?.closest("td")
  const opens = key => isWritten(key) && !isClosed(chosenCell())
  const isClosed = cell => cell && (cell.getAttribute("aria-readonly") === "true" || isSwitch(cell))
  const waitForCell = press => {
    let last = performance.now()
    const look = () => {
      if (openCell() || isClosed(chosenCell())) return true
      if (!chosenCell() || performance.now() - last < AGAIN_AFTER_MS) return false
      last = performance.now()
      chosenCell().dispatchEvent(copyOf(press))
      return false
    }
    waitUntil(look, OPENS_WITHIN_MS)
  }

  const hold = event => {
    if (!event.type.startsWith("pointer")) event.preventDefault() // else the clicks that belong to it never come
    event.stopImmediatePropagation()
    held.push({ copy: copyOf(event), target: event.target })
  }
  const giveNext = () => {
    if (isWaiting || !held.length) return
    const { copy, target } = held.shift()
    if (CLICKS.includes(copy.type)) giveClick(copy, target)
    else if (openCell()) write(openCell(), copy)
    else giveToTable(copy)
    if (!isWaiting) setTimeout(giveNext)
  }
  const giveClick = (click, target) => {
    const place = target.isConnected ? target : document.elementFromPoint(click.clientX, click.clientY)
    if (click.type === "mousedown") (isTable(place) ? canvas() : place?.closest(TAKES_FOCUS))?.focus()
    place?.dispatchEvent(click)
  }
  const write = (cell, press) => {
    cell.focus()
    // a cell that has just been opened may not have put the caret behind its first key yet
    const end = cell.value.length, isCaret = cell.selectionStart !== null && cell.selectionStart === cell.selectionEnd
    if (isCaret) cell.setSelectionRange(end, end)
    if (isWritten(press.key)) document.execCommand("insertText", false, press.key)
    else if (press.key === "Backspace") document.execCommand("delete")
    else if (CLOSING.includes(press.key)) {
      cell.dispatchEvent(press)
      waitUntil(() => !cell.isConnected, CLOSES_WITHIN_MS)
    }
  }
  const giveToTable = press => {
    if (document.activeElement === document.body) canvas()?.focus()
    const willOpen = opens(press.key)
    document.activeElement.dispatchEvent(press)
    if (willOpen) waitForCell(press)
  }

  const follow = event => {
    const isStray = isLastTouched && event.target === document.body
    const isCommand = event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.keyCode === 229
    if (!event.isTrusted || isCommand || !isHoldable(event.key) || !(isOurs(event) || isStray)) return
    const cell = openCell()
    if (isWaiting || held.length) hold(event)
    else if (cell && CLOSING.includes(event.key)) {
      hold(event)
      waitUntil(() => true)
    } else if (cell && !event.composedPath().some(node => node.id === "portal")) {
      event.stopPropagation()
      cell.focus() // and the browser writes the key there
    } else if (isStray) {
      hold(event)
      waitUntil(() => document.activeElement !== document.body, FOCUS_WITHIN_MS)
    } else if (!cell && opens(event.key)) waitForCell(copyOf(event))
  }
  const followClick = event => {
    if (event.isTrusted && (isWaiting || held.length)) hold(event)
  }
  const followPointer = event => {
    if (isLastTouched && !isOurs(event)) event.stopPropagation()
  }
  const touch = event => {
    isLastTouched = isOurs(event)
  }

  const listeners = [
    ...CLICKS.map(name => [name, followClick]),
    ...["pointerdown", "focusin"].map(name => [name, touch]), // a click that is held has not touched anything yet
    ["pointermove", followPointer],
    ["keydown", follow],
  ]
  listeners.forEach(([name, listener]) => window.addEventListener(name, listener, true))
  return {
    isTyping: () => held.length > 0 || isWaiting || Boolean(openCell()),
    end: () => listeners.forEach(([name, listener]) => window.removeEventListener(name, listener, true)),
  }
}
