// Tells the server that something may have been typed (the edits come along) when the pointer leaves the table or it has been quiet
// for a moment, never while a cell is open. A link that is followed before the server has heard of it waits for its answer.

const QUIET_MS = 1500, PATIENCE_MS = 5000
const TOUCHES = ["keydown", "pointerup", "paste", "cut", "drop"]
const LEAVES = "a[href], [data-testid=stLogoLink]"
const guards = new WeakMap()

export default function ({ data, parentElement, setTriggerValue }) {
  const guard = guards.get(parentElement) ?? begin(parentElement)
  guard.table = data.table
  guard.switches = data.switches
  guard.isPending = data.pending
  guard.send = number => setTriggerValue("told", number)
  guard.hear(data.heard)
  if (!guard.isReady) data.editors.forEach(path => import(new URL(path, document.baseURI).href).catch(() => {}))
  guard.isReady = true
  return guard.end
}

function begin(parentElement) {
  const guard = { told: 0, heard: 0, isDirty: false, isReady: false, follow: null, timer: 0 }
  const isOurs = event => event.composedPath().some(node => node.id === "portal" || node.classList?.contains(guard.table))
  const keys = followKeys({
    isOurs,
    isTable: node => Boolean(node?.closest(`.${guard.table}`)),
    canvas: () => document.querySelector(`.${guard.table} canvas`),
    isSwitch: cell => guard.switches.includes(cell.closest("table").querySelector(`th[aria-colindex="${cell.ariaColIndex}"]`)?.textContent),
  })

  const tell = () => {
    clearTimeout(guard.timer)
    guard.told = Math.max(Date.now(), guard.told + 1)
    guard.isDirty = false
    guard.send(guard.told)
  }
  const tellSoon = () => {
    clearTimeout(guard.timer)
    guard.timer = setTimeout(() => (keys.isTyping() ? tellSoon() : tell()), QUIET_MS)
  }
  const leave = event => {
    if (guard.isDirty && !keys.isTyping() && !event.relatedTarget?.closest?.(`#portal, .${guard.table}`) && isOurs(event)) tell()
  }
  const note = event => {
    if (!isOurs(event)) return
    guard.isDirty = true
    tellSoon()
  }
  const go = () => {
    const follow = guard.follow
    guard.follow = null
    follow?.()
  }
  const hold = event => {
    const link = event.target.closest?.(LEAVES)
    const opensElsewhere = event.ctrlKey || event.metaKey || event.shiftKey || link?.target === "_blank"
    if (!link || opensElsewhere || isOurs(event) || (!guard.isDirty && guard.heard >= guard.told)) return
    event.preventDefault()
    event.stopImmediatePropagation()
    if (guard.isDirty) tell()
    guard.follow = () => {
      guard.heard = guard.told
      link.click()
    }
    setTimeout(go, PATIENCE_MS)
  }
  const ask = event => (guard.isDirty || guard.isPending) && event.preventDefault()

  guard.hear = number => {
    guard.heard = Math.max(guard.heard, number)
    if (!guard.isDirty && guard.heard >= guard.told) go()
  }
  guard.end = () => {
    clearTimeout(guard.timer)
    TOUCHES.forEach(name => document.removeEventListener(name, note, true))
    keys.end()
    document.removeEventListener("pointerout", leave, true)
    document.removeEventListener("click", hold, true)
    window.removeEventListener("beforeunload", ask)
    guards.delete(parentElement)
  }
  TOUCHES.forEach(name => document.addEventListener(name, note, true))
  document.addEventListener("pointerout", leave, true)
  document.addEventListener("click", hold, true)
  window.addEventListener("beforeunload", ask)
  guards.set(parentElement, guard)
  return guard
}
