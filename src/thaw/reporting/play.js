"use strict";
(() => {
  const films = JSON.parse(document.getElementById("films").textContent);
  const VIEWS = { forward: "Degrade and predict", restore: "Restore", generate: "Generate" };
  const at = (id) => document.getElementById(`play-${id}`);
  const chosen = { runs: [0], view: "forward", knobs: {} };
  const pictures = new Map();  // by address, decoded once

  const element = (tag, attributes = {}, text = "") => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };
  const picture = (address) => {
    if (!pictures.has(address)) {
      const image = new Image();
      image.src = address;
      pictures.set(address, image.decode().then(() => image));
    }
    return pictures.get(address);
  };
  const filmOf = (run) => {
    const all = run.views[chosen.view];
    const fits = (film) => Object.entries(film.settings).every(
      ([knob, value]) => (chosen.knobs[knob] ?? value) === value);
    return all.find(fits) ?? all[0];
  };

  function toggles(bar, titles, isOn, choose) {
    bar.replaceChildren(...titles.map((title, k) => {
      const button = element("button", { type: "button", "aria-pressed": isOn(k) }, title);
      button.addEventListener("click", () => { choose(k); show(); bar.children[k].focus(); });
      return button;
    }));
  }

  function knobs() {
    const choices = {};
    for (const k of chosen.runs) {
      for (const film of films[k].views[chosen.view]) {
        for (const [knob, value] of Object.entries(film.settings)) (choices[knob] ??= new Set()).add(value);
      }
    }
    const classes = chosen.view === "generate" ? Math.max(...chosen.runs.map((k) => films[k].classes)) : 0;
    if (classes) choices.class = new Set(["all", ...Array(classes).keys()].map(String));
    at("knobs").hidden = !Object.keys(choices).length;
    at("knobs").replaceChildren(...Object.entries(choices).map(([knob, values]) => {
      const label = element("label", {}, `${knob} `), select = element("select", { name: knob });
      select.append(...[...values].map((value) => element("option", { value }, value)));
      if (values.has(chosen.knobs[knob])) select.value = chosen.knobs[knob];
      else chosen.knobs[knob] = select.value;
      select.addEventListener("change", () => { chosen.knobs[knob] = select.value; screens(); });
      label.append(select);
      return label;
    }));
  }

  // Pictures that are late must not cover later ones.
  let turn = 0;
  async function draw() {
    const own = ++turn, share = at("t").value / at("t").max;
    for (const screen of at("screens").children) {
      const run = films[screen.dataset.run], film = filmOf(run);
      const frame = Math.round((1 - share) * (film.ts.length - 1)), t = film.ts[frame];
      const by = film.sampler && ` · ${film.sampler}`;
      screen.querySelector("output").textContent = `t = ${t} of ${run.num_steps}${by}`;
      for (const canvas of screen.querySelectorAll("canvas")) {
        const [name, address] = film.rows[canvas.dataset.row], image = await picture(address);
        if (own !== turn) return;
        const one = chosen.view === "generate" && run.classes && chosen.knobs.class !== "all";
        const left = one ? Math.min(chosen.knobs.class, run.classes - 1) * run.width : 0;
        canvas.width = one ? run.width : image.naturalWidth;
        canvas.height = run.height;
        canvas.style.maxWidth = one ? "10rem" : "";
        canvas.getContext("2d").drawImage(
          image, left, frame * run.height, canvas.width, run.height, 0, 0, canvas.width, run.height);
        canvas.setAttribute("aria-label", `${name} at t = ${t}`);
        canvas.dataset.t = t;
      }
    }
  }

  function screens() {
    at("screens").replaceChildren(...chosen.runs.map((k) => {
      const screen = element("div", { class: "screen", "data-run": k });
      screen.append(
        element("h3", {}, films[k].title), element("output", { class: "quiet", for: "play-t" }));
      filmOf(films[k]).rows.forEach(([name], number) => {
        const row = element("div", { class: "row" });
        row.append(element("span", {}, name), element("canvas", { role: "img", "data-row": number }));
        screen.append(row);
      });
      return screen;
    }));
    draw();
  }

  function show() {
    toggles(at("runs"), films.map((run) => run.title), (k) => chosen.runs.includes(k), (k) => {
      if (!chosen.runs.includes(k)) chosen.runs = [...chosen.runs.slice(-1), k];
      else if (chosen.runs.length > 1) chosen.runs = chosen.runs.filter((other) => other !== k);
    });
    const views = Object.keys(VIEWS);
    toggles(at("views"), Object.values(VIEWS), (k) => views[k] === chosen.view,
      (k) => { chosen.view = views[k]; });
    knobs();
    screens();
  }

  let timer = null;
  const stop = () => { clearInterval(timer); timer = null; at("run").textContent = "\u25B6"; };
  at("run").addEventListener("click", () => {
    if (timer) return stop();
    at("t").value = at("t").max;
    at("run").textContent = "\u23F8";
    timer = setInterval(() => { if (at("t").value > 0) at("t").value--; else stop(); draw(); }, 350);
    draw();
  });
  at("t").addEventListener("input", () => { stop(); draw(); });
  show();
})();
