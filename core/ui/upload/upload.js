// Sends files one after the other as raw bodies to /upload, with a bar, a cancel button and the server's own words on failure.
// Transfers live on the window, not in the mounted element: they go on while another page of the app is open, and their rows are
// drawn again on return. Python learns of arrivals through the state "arrived".

const stores = (window.luthierUploads ??= {})

export default function ({ data, parentElement, setStateValue }) {
  const store = (stores[data.store] ??= { transfers: [], sending: false })
  const find = selector => parentElement.querySelector(selector)
  const [zone, input, pick, list] = [".zone", ".files", ".pick", ".transfers"].map(find)

  store.data = data
  store.report = () => setStateValue("arrived", store.transfers.filter(t => t.answer).map(t => t.answer))
  store.draw = () => drawTransfers(store, list)
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
  return () => { store.report = store.draw = () => {} }
}

function enqueue(store, files) {
  const chosen = store.data.multiple ? [...files] : [...files].slice(0, 1)
  const batch = chosen.length
  store.transfers = store.transfers.filter(t => !t.over)
  for (const file of chosen) store.transfers.push({ file, batch, name: file.name, state: "Waiting", options: store.data.options, dataset: store.data.dataset_id })
  store.draw()
  sendNext(store)
}

function sendNext(store) {
  const next = store.transfers.find(t => !t.over)
  if (store.sending || !next) return
  store.sending = true
  window.addEventListener("beforeunload", warn)
  send(next, store).finally(() => {
    store.sending = false
    next.over = true
    next.file = next.request = null
    window.removeEventListener("beforeunload", warn)
    store.draw()
    if (next.answer) store.report()
    sendNext(store)
  })
}

function send(transfer, store) {
  return new Promise(resolve => {
    const query = new URLSearchParams({ name: transfer.name, options: JSON.stringify(transfer.options) })
    if (transfer.dataset) query.set("dataset_id", transfer.dataset)
    const request = (transfer.request = new XMLHttpRequest())
    request.upload.onprogress = event => {
      transfer.share = event.total ? event.loaded / event.total : 0
      transfer.state = `${Math.floor(transfer.share * 100)} % of ${size(event.total)}`
      store.draw()
    }
    request.upload.onload = () => { transfer.share = null; transfer.state = "Checking the file …"; store.draw() }
    request.onload = () => resolve(finish(transfer, request))
    request.onerror = () => resolve(fail(transfer, "The connection broke before the file had arrived. Check the network and try again."))
    request.onabort = () => resolve(fail(transfer, null, "Cancelled"))
    transfer.share = 0
    transfer.state = "Starting"
    request.open("POST", `/upload?${query}`)
    request.setRequestHeader("Content-Type", "application/octet-stream")
    request.send(transfer.file)
    store.draw()
  })
}

function finish(transfer, request) {
  const answer = parse(request.responseText)
  if (request.status < 300 && answer?.dataset_id) {
    transfer.answer = { ...answer, name: transfer.name, batch: transfer.batch }
    transfer.state = answer.status === "processing" ? "Arrived, being converted" : "Done"
    return
  }
  if (request.status === 401) return fail(transfer, "You are signed out. Reload the page and sign in again.")
  const error = answer?.error
  fail(transfer, error?.message ?? `The server refused the file (status ${request.status}). Try again in a moment.`)
  transfer.details = (error?.details ?? []).filter(d => !error.message.includes(d.message)).slice(0, 8)
}

function fail(transfer, why, state = "Failed") {
  Object.assign(transfer, { why, state, failed: true })
}

function drawTransfers(store, list) {
  list.replaceChildren(...store.transfers.map(transfer => {
    const row = element("li", `transfer ${transfer.failed ? "failed" : transfer.answer ? "done" : ""}`)
    const line = element("div", "line")
    line.append(element("span", "name", transfer.name), element("span", "state", transfer.state))
    if (!transfer.over) line.append(button("Cancel", () => cancel(transfer, store)))
    else if (transfer.failed) line.append(button("Dismiss", () => dismiss(transfer, store)))
    row.append(line)
    if (!transfer.over && transfer.request) row.append(bar(transfer.share, transfer.name))
    if (transfer.why) row.append(element("p", "why", transfer.why))
    if (transfer.details?.length) row.append(reasons(transfer.details))
    return row
  }))
}

function cancel(transfer, store) {
  if (transfer.request) return transfer.request.abort()
  dismiss(transfer, store)
}

function dismiss(transfer, store) {
  store.transfers = store.transfers.filter(t => t !== transfer)
  store.draw()
}

function bar(share, name) {
  const outer = element("div", share === null ? "bar waiting" : "bar")
  const inner = element("i")
  outer.setAttribute("role", "progressbar")
  outer.setAttribute("aria-label", `Upload of ${name}`)
  if (share !== null) {
    outer.setAttribute("aria-valuenow", Math.floor(share * 100))
    inner.style.width = `${share * 100}%`
  }
  outer.append(inner)
  return outer
}

function reasons(details) {
  const list = element("ul", "why")
  list.append(...details.map(d => element("li", "", `${d.field}: ${d.message}`)))
  return list
}

function button(text, act) {
  const made = element("button", "", text)
  made.type = "button"
  made.onclick = act
  return made
}

function element(tag, name = "", text = "") {
  const made = document.createElement(tag)
  made.className = name
  made.textContent = text
  return made
}

function parse(text) {
  try { return JSON.parse(text) } catch { return null }
}

function size(bytes) {
  for (const [unit, step] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (bytes >= step) return `${(bytes / step).toPrecision(3)} ${unit}`
  return `${bytes} B`
}

function warn(event) {
  event.preventDefault()
}
