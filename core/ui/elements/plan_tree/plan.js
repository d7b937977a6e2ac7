// The result on top, below each step what it reads from. A chain stays in one column; only a step with several sources indents.

export default function ({ data, parentElement }) {
  const plan = parentElement.querySelector(".plan")
  plan.classList.remove("skeleton")
  plan.replaceChildren(...(data.steps ?? []).flatMap(draw))
}

function draw(step) {
  const box = make("div", "step")
  box.setAttribute("role", "treeitem")
  box.style.setProperty("--heat", `${Math.round(step.share * 100)}%`)
  box.append(make("span", "name", step.name), make("span", "rows", `${step.rows.toLocaleString("en")} ${step.rows === 1 ? "row" : "rows"}`), time(step))
  if (step.details.length) box.append(details(step.details))
  const below = make("div", step.children.length > 1 ? "below" : "below only")
  below.append(...step.children.flatMap(child => [...(step.children.length > 1 ? [] : [make("div", "flow", "▲")]), ...draw(child)]))
  return [box, ...(step.children.length ? [below] : [])]
}

function time(step) {
  const found = make("span", "time"), bar = make("span", "bar"), fill = make("i")
  fill.style.width = `${Math.max(step.share * 100, step.share > 0 ? 1 : 0)}%`
  bar.append(fill)
  found.append(bar, make("span", "", `${step.ms >= 10 ? Math.round(step.ms).toLocaleString("en") : step.ms.toFixed(1)} ms · ${Math.round(step.share * 100)} %`))
  return found
}

function details(entries) {
  const list = make("dl", "details")
  for (const [key, text] of entries) {
    const line = make("div"), what = make("dd", "", text)
    what.title = text
    line.append(make("dt", "", key.toLowerCase()), what)
    list.append(line)
  }
  return list
}

function make(kind, className = "", text = "") {
  const made = document.createElement(kind)
  if (className) made.className = className
  if (text) made.textContent = text
  return made
}
