// Sends files one after the other, each in pieces, to /uploads: with a bar, speed, time left, cancel, and the server's own words on
// failure. A piece that got lost is sent again after a pause, from where the server says it stopped; a file that is chosen again
// after a reload is known by its fingerprint and goes on. Transfers live on the window, not in the mounted element: they go on while
// another page of the app is open, and their rows are drawn again on return. Python learns of arrivals through the state "arrived".

const stores = (window.luthierUploads ??= {})
const FIRST_PAUSE = 500, LONGEST_PAUSE = 15_000, PATIENCE = 20 * 60_000, MOST_REFUSALS = 6  // ms; refusals in a row
const SILENCE = 45_000, CHECKING = 180_000  // ms without a byte sent, and without an answer when all were
const SPEED_WINDOW = 8_000, DRAW_EVERY = 150, PRINT_BYTES = 256 * 1024

export default function ({ data, parentElement, setStateValue }) {
  const store = (stores[data.store] ??= { transfers: [], sending: false })
  const find = selector => parentElement.querySelector(selector)
  const [zone, input, pick, list, said] = [".zone", ".files", ".pick", ".transfers", ".said"].map(find)

  store.data = data
  if (store.list !== list) { store.rows = new Map(); store.list = list; list.replaceChildren() }
  store.draw = () => drawTransfers(store, list)
  store.say = text => { said.textContent = text }
  store.report = () => {
    const fresh = store.transfers.filter(t => t.arrived && !t.told).map(t => t.arrived)
    if (fresh.length) setStateValue("arrived", fresh)
  }
  for (const transfer of store.transfers) transfer.told ||= data.seen.includes(transfer.arrived?.id)
  store.transfers = store.transfers.filter(t => !t.told)
  find(".title").textContent = data.title
  find(".hint").textContent = data.hint
  input.multiple = data.multiple
  pick.textContent = data.multiple ? "Choose files" : "Choose a file"

  pick.onclick = () => input.click()
  input.onchange = () => { enqueue(store, input.files); input.value = "" }
  zone.ondragenter = zone.ondragover = event => { event.preventDefault(); zone.classList.add("over") }
  zone.ondragleave = event => { if (!zone.contains(event.relatedTarget)) zone.classList.remove("over") }
  zone.ondrop = event => { event.preventDefault(); zone.classList.remove("over"); enqueue(store, event.dataTransfer.files) }
  store.draw()
  store.report()
  return () => { store.report = store.draw = store.say = () => {}; store.list = null; store.rows = new Map() }
}

function enqueue(store, files) {
  const chosen = store.data.multiple ? [...files] : [...files].slice(0, 1)
  store.transfers = store.transfers.filter(t => !t.over || (t.arrived && !t.told))
  for (const file of chosen) {
    store.transfers.push({ file, name: file.name, size: file.size, alone: chosen.length === 1, dataset: store.data.dataset_id, state: "Waiting" })
  }
  store.draw()
  sendNext(store)
}

async function sendNext(store) {
  const next = store.transfers.find(t => !t.over)
  if (store.sending || !next) return
  store.sending = true
  window.addEventListener("beforeunload", warn)
  await send(next, store)
  window.removeEventListener("beforeunload", warn)
  store.sending = false
  next.over = true
  next.request = null
  store.draw()
  store.report()
  sendNext(store)
}

// One file, until it has arrived, was refused or was cancelled. What is temporary is tried again.
async function send(transfer, store) {
  let upload = null, brokenSince = null, refusals = 0
  for (;;) {
    try {
      transfer.print ??= await fingerprint(transfer.file)
      upload ??= await announce(transfer, store)
      transfer.id = upload.id
      if (transfer.cancelled) return discard(transfer)
      if (upload.state === "received") return arrive(transfer, store, upload)
      upload = await sendPiece(transfer, store, upload)
      brokenSince = null
      refusals = 0
    } catch (problem) {
      if (transfer.cancelled) return discard(transfer)
      refusals += problem.said ? 1 : 0
      brokenSince ??= Date.now()
      const isOver = problem.isFinal || refusals > MOST_REFUSALS || Date.now() - brokenSince > PATIENCE
      if (isOver) return fail(transfer, store, problem.said ?? "The connection to the server is lost. What has arrived is kept.", !problem.isFinal || problem.canRetry)
      upload = null
      await pause(transfer, store, problem, Math.min(FIRST_PAUSE * 2 ** (transfer.tries = (transfer.tries ?? 0) + 1), LONGEST_PAUSE))
      if (transfer.cancelled) return discard(transfer)
      if (!(await isReadable(transfer.file))) return fail(transfer, store, "The file cannot be read any more: it was changed or moved. Choose it again.")
    }
  }
}

async function announce(transfer, store) {
  transfer.state = transfer.tries ? "Connecting again …" : "Starting"
  store.draw()
  const body = { filename: transfer.name, size_bytes: transfer.size, fingerprint: transfer.print, dataset_id: transfer.dataset ?? null }
  const answer = await fetch("/uploads", {
    method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }).catch(() => null)
  const upload = read(answer?.status ?? 0, answer ? await answer.text().catch(() => "") : "")
  transfer.resumed = upload.received_bytes > 0 && !transfer.sent
  transfer.sent = upload.received_bytes
  transfer.samples = []
  return upload
}

function sendPiece(transfer, store, upload) {
  const start = upload.received_bytes, end = Math.min(start + store.data.chunk_bytes, transfer.size)
  return new Promise((resolve, reject) => {
    const request = (transfer.request = new XMLHttpRequest())
    let watch = setTimeout(() => request.abort(), SILENCE)
    const stopAfter = limit => { clearTimeout(watch); watch = setTimeout(() => request.abort(), limit) }
    request.upload.onprogress = event => {
      stopAfter(SILENCE)
      note(transfer, store, Math.min(start + event.loaded, end))
    }
    request.upload.onload = () => {
      stopAfter(CHECKING)
      if (end === transfer.size) { transfer.state = "Checking …"; store.draw() }
    }
    request.onload = () => {
      clearTimeout(watch)
      try {
        const next = read(request.status, request.responseText)
        note(transfer, store, next.received_bytes)
        transfer.tries = 0
        resolve(next)
      } catch (problem) { reject(problem) }
    }
    request.onerror = request.onabort = () => { clearTimeout(watch); reject({}) }
    request.open("PUT", `/uploads/${upload.id}?offset=${start}`)
    request.setRequestHeader("Content-Type", "application/octet-stream")
    request.send(transfer.file.slice(start, end))
  })
}

// The upload in an answer; else throws { said, isFinal }: what the server said, or nothing for a broken connection.
function read(status, text) {
  const answer = parse(text)
  if (status >= 200 && status < 300 && answer?.id) return answer
  if (status === 401) throw { said: "You are signed out. Sign in again and choose the file again: it goes on where it stopped.", isFinal: true }
  const error = answer?.error
  if (!error) throw {}  // no answer of ours: the network, a proxy, a server that starts
  throw { said: error.message, isFinal: ![408, 409, 429, 500, 503].includes(status), canRetry: status === 404 }  // 404: discarded elsewhere
}

function note(transfer, store, sent) {
  const now = Date.now()
  transfer.sent = sent
  transfer.samples = [...(transfer.samples ?? []), [now, sent]].filter(([time]) => now - time < SPEED_WINDOW)
  if (now - (transfer.drawn ?? 0) < DRAW_EVERY) return
  transfer.drawn = now
  transfer.lost = transfer.why = null
  transfer.state = progress(transfer)
  store.draw()
}

function progress({ sent, size, samples, resumed }) {
  const [[since, before], [until, after]] = [samples[0], samples[samples.length - 1]]
  const speed = until > since ? (after - before) / (until - since) * 1000 : 0
  const parts = [`${Math.floor(100 * sent / size)} %`, `${bytes(sent)} of ${bytes(size)}`]
  if (speed > 0 && until - since > 500) parts.push(`${bytes(speed)}/s`, `${duration((size - sent) / speed)} left`)
  if (resumed) parts.push("resumed")
  return parts.join(" · ")
}

async function pause(transfer, store, problem, delay) {
  transfer.lost = true
  transfer.why = problem.said ?? null
  if (transfer.tries === 1) store.say(`${transfer.name}: connection lost, trying again.`)
  const until = Date.now() + delay
  while (Date.now() < until && !transfer.cancelled) {
    const seconds = Math.ceil((until - Date.now()) / 1000)
    transfer.state = `${problem.said ? "Not possible right now" : "Connection lost"}: trying again in ${seconds} s`
    store.draw()
    await new Promise(resolve => setTimeout(resolve, 250))
  }
  transfer.lost = transfer.why = null
}

function arrive(transfer, store, upload) {
  const isSeen = Boolean(store.list)  // its field is on the page
  transfer.arrived = { id: upload.id, name: transfer.name, size: transfer.size, alone: transfer.alone && isSeen }
  transfer.state = "Arrived"
  transfer.sent = transfer.size
  store.say(`${transfer.name} has arrived.`)
}

function fail(transfer, store, why, canRetry = false) {
  Object.assign(transfer, { why, state: "Failed", failed: true, canRetry, lost: false })
  store.say(`${transfer.name}: ${why}`)
}

function discard(transfer) {
  if (transfer.id) fetch(`/uploads/${transfer.id}`, { method: "DELETE", credentials: "same-origin" }).catch(() => {})
  Object.assign(transfer, { state: "Cancelled", failed: true, lost: false, why: null })
}

function cancel(transfer, store) {
  transfer.cancelled = true
  if (transfer.request) transfer.request.abort()
  else if (!store.sending || transfer !== store.transfers.find(t => !t.over)) dismiss(transfer, store)
}

function dismiss(transfer, store) {
  transfer.over = true
  store.transfers = store.transfers.filter(t => t !== transfer)
  store.draw()
}

function retry(transfer, store) {
  Object.assign(transfer, { failed: false, over: false, why: null, tries: 0, state: "Waiting", canRetry: false })
  store.draw()
  sendNext(store)
}

// Rows are made once and changed in place, so that the focus stays on a button while the numbers run.
function drawTransfers(store, list) {
  for (const [transfer, row] of store.rows) {
    if (!store.transfers.includes(transfer)) { row.root.remove(); store.rows.delete(transfer) }
  }
  for (const transfer of store.transfers) {
    if (!store.rows.has(transfer)) {
      store.rows.set(transfer, makeRow(transfer))
      list.append(store.rows.get(transfer).root)
    }
    updateRow(transfer, store, store.rows.get(transfer))
  }
}

function makeRow(transfer) {
  const row = { root: element("li", "transfer"), line: element("div", "line"), state: element("span", "state"), act: element("button"), bar: element("div", "bar"), fill: element("i"), why: element("p", "why") }
  const name = element("span", "name", transfer.name)
  name.title = transfer.name
  row.act.type = "button"
  row.bar.setAttribute("role", "progressbar")
  row.bar.setAttribute("aria-label", `Upload of ${transfer.name}`)
  row.bar.append(row.fill)
  row.line.append(name, row.state, row.act)
  row.root.append(row.line, row.bar, row.why)
  return row
}

function updateRow(transfer, store, row) {
  row.root.className = `transfer ${transfer.failed ? "failed" : transfer.arrived ? "done" : transfer.lost ? "lost" : ""}`
  write(row.state, transfer.state)
  write(row.why, transfer.why ?? "")
  row.why.hidden = !transfer.why
  row.bar.hidden = transfer.over || transfer.sent === undefined
  const share = transfer.size ? (transfer.sent ?? 0) / transfer.size : 0
  row.bar.setAttribute("aria-valuenow", Math.floor(100 * share))
  row.fill.style.width = `${100 * share}%`
  const [word, act] = !transfer.over ? ["Cancel", cancel] : transfer.canRetry ? ["Try again", retry] : transfer.failed ? ["Dismiss", dismiss] : ["", null]
  write(row.act, word)
  row.act.setAttribute("aria-label", `${word} ${transfer.name}`)
  row.act.hidden = !word
  row.act.onclick = act && (() => act(transfer, store))
}

// Enough to know a file again, without reading all of it: not a proof of anything, the server hashes what arrives.
async function fingerprint(file) {
  const ends = [file.slice(0, PRINT_BYTES), file.slice(Math.max(0, file.size - PRINT_BYTES))]
  const held = await Promise.all(ends.map(part => part.arrayBuffer())).catch(() => {
    throw { said: "The file cannot be read. Choose it again.", isFinal: true }
  })
  return [file.size, file.lastModified, ...held.map(buffer => hash(new Uint8Array(buffer)))].join("-")
}

// 53 bits (cyrb53, public domain): crypto.subtle exists only over https and on localhost.
function hash(data) {
  let a = 0xdeadbeef, b = 0x41c6ce57
  for (const byte of data) {
    a = Math.imul(a ^ byte, 2654435761)
    b = Math.imul(b ^ byte, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36)
}

async function isReadable(file) {
  try { await file.slice(0, 1).arrayBuffer(); return true } catch { return false }
}

function element(tag, name = "", text = "") {
  const made = document.createElement(tag)
  made.className = name
  made.textContent = text
  return made
}

function write(target, text) {
  if (target.textContent !== text) target.textContent = text
}

function parse(text) {
  try { return JSON.parse(text) } catch { return null }
}

function bytes(count) {
  for (const [unit, step] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (count >= step) return `${(count / step).toPrecision(3)} ${unit}`
  return `${Math.round(count)} B`
}

function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`
}

function warn(event) {
  event.preventDefault()
}
