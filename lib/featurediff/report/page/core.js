"use strict";
/*
 * The page's one namespace. Text from data only gets into text nodes and attributes, through `h`: nothing here parses HTML.
 *
 * Data comes from scripts that call `featurediff.receive(key, value)`; `load(key)` adds such a script once.
 */
window.featurediff = (() => {
  const arrived = new Map(); // key -> {promise, resolve}

  function entry(key) {
    if (!arrived.has(key)) {
      const one = {};
      one.promise = new Promise((resolve, reject) => Object.assign(one, { resolve, reject }));
      arrived.set(key, one);
    }
    return arrived.get(key);
  }

  function receive(key, value) {
    entry(key).resolve(value);
  }

  function script(address) {
    return new Promise((resolve, reject) => {
      const element = document.createElement("script");
      element.src = address;
      element.onload = resolve;
      element.onerror = () => reject(new Error(`${address} is missing. Was the whole folder of the report copied?`));
      document.head.append(element);
    });
  }

  function load(key) {
    const known = arrived.has(key);
    const one = entry(key);
    if (!known) {
      script(`data/${key.split("/").map(encodeURIComponent).join("/")}.js`).catch((error) => {
        arrived.delete(key);
        one.reject(error);
      });
    }
    return one.promise;
  }

  /* An element: h("a", {href: "#"}, "text", another). Attributes that are null or false are left out. */
  function h(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") Object.entries(value).forEach(([key, one]) => element.style.setProperty(key, one));
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }

  /* A path as one word of a shell command, whatever characters it has. */
  function quoted(text) {
    return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`;
  }

  /* ---- numbers: three significant digits, a real minus, a dash where there is none ---- */

  function number(value, digits = 3) {
    if (value === null || value === undefined) return "–";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value !== "number") return String(value);
    const size = Math.abs(value);
    let text;
    if (Number.isInteger(value) && size < 1e6) text = value.toLocaleString("en-US");
    else if (size !== 0 && (size < 1e-3 || size >= 1e5)) text = value.toExponential(digits - 1).replace("e", " × 10^").replace("+", "");
    else text = value.toLocaleString("en-US", { minimumSignificantDigits: digits, maximumSignificantDigits: digits });
    return text.replace(/-/g, "−");
  }

  const count = (value) => value.toLocaleString("en-US");
  const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)} %`);

  function seconds(value) {
    if (value < 60) return `${Math.round(value)} s`;
    const minutes = Math.round(value / 60);
    return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  /* ---- the address: #/view/rest?key=value ---- */

  function address() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    const [view, ...rest] = path.split("/");
    return { view: view || "overview", rest: decode(rest.join("/")), query: new URLSearchParams(query || "") };
  }

  function decode(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  }

  function link(view, rest = "", query = {}) {
    const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined));
    const asked = given.toString();
    const path = rest ? `${view}/${encodeURIComponent(rest).replace(/%3A/g, ":")}` : view;
    return `#/${path}${asked ? `?${asked}` : ""}`;
  }

  /* Put another state of the open view into the address, without drawing the view again. */
  function replace(view, rest, query) {
    history.replaceState(null, "", link(view, rest, query));
  }

  /* ---- the run ---- */

  const run = { data: null };

  function prepare(data) {
    run.data = data;
    run.names = data.networks.map((network) => network.name);
    run.base = data.base;
    run.tuned = run.names.filter((name) => name !== data.base);
    run.layers = [];
    run.layerOf = []; // place -> number of its layer
    run.channelOf = [];
    for (const { name, channels } of data.layers) {
      const first = run.channelOf.length;
      for (const [from, to] of channels) {
        for (let channel = from; channel <= to; channel += 1) {
          run.layerOf.push(run.layers.length);
          run.channelOf.push(channel);
        }
      }
      run.layers.push({ name, first, count: run.channelOf.length - first });
    }
    run.size = run.channelOf.length;
    run.places = new Map(run.channelOf.map((channel, place) => [label(place), place]));
  }

  function label(place) {
    return `${run.layers[run.layerOf[place]].name}:${run.channelOf[place]}`;
  }

  /* A column of a network's table, a value for each place; null where the network has no such column. */
  async function column(network, name) {
    const place = run.data.columns[network].indexOf(name);
    return place < 0 ? null : load(`networks/${network}/column-${place}`);
  }

  /* All that is known of a channel in a network. */
  async function channel(network, place) {
    const layer = run.layers[run.layerOf[place]];
    const within = place - layer.first;
    const size = run.data.sheets.per_sheet;
    const rows = await load(`networks/${network}/${layer.name}-${Math.floor(within / size)}`);
    const at = within % size;
    const values = Object.fromEntries(run.data.columns[network].map((name, i) => [name, rows.values[at][i]]));
    return { values, pictures: rows.pictures[at], own: rows.own[at], evidence: rows.evidence[at] || {} };
  }

  function unit(name) {
    const meaning = run.data.meanings[name];
    return meaning && meaning.unit ? meaning.unit : "";
  }

  /* A column's name as a label: `visual_change (cosine)`. */
  function titled(name) {
    return unit(name) ? `${name} (${unit(name)})` : name;
  }

  function say(text) {
    document.getElementById("said").textContent = text;
  }

  function dark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  /* The colours of report/palette.py that suit the page as it is shown. */
  const palette = () => (dark() ? run.data.palette.dark : run.data.palette.light);

  /* A fine-tuned network's colour; grey for the base and the noise floor. */
  function color(network) {
    const place = run.tuned.indexOf(network);
    return place < 0 ? (dark() ? "#a0a5ab" : "#6b7076") : palette()[place % palette().length];
  }

  return {
    receive, load, script, h, number, count, percent, seconds, address, link, replace, run, prepare, label, column, channel,
    unit, titled, say, dark, palette, color, quoted, views: {},
  };
})();
