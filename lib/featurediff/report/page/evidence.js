"use strict";
/* One channel's film over the epochs, the photographs that activate it most, and the classes that it prefers. */
(() => {
  const { h, run, number, label, load, figure, scale } = featurediff;

  /* ---- the film: one frame of the strip, chosen by a slider ---- */

  function film(network, place, { strip, change }) {
    if (!strip) return null;
    const layer = run.layers[run.layerOf[place]].name;
    const source = `../${[network, "film", layer].map(encodeURIComponent).join("/")}/channel${run.channelOf[place]}.png`;
    const size = 192;
    const zoom = size / strip.width;
    const names = strip.frames.map((frame) => (frame === "base" ? `base (${run.base})` : `after epoch ${frame}`));
    const last = strip.frames.length - 1;
    const frame = h("span", { class: "tile", role: "img", style: {
      "background-image": `url("${source}")`, width: `${size}px`, height: `${strip.height * zoom}px`,
      "background-size": `${((last) * strip.pitch + strip.width) * zoom}px auto`,
    } });
    const id = `film-${network}`;
    const told = h("output", { for: id });
    const slider = h("input", { type: "range", id, min: "0", max: String(last), step: "1", value: String(last), oninput: () => show(Number(slider.value)) });
    const play = h("button", { type: "button", class: "quiet", onclick: () => run_() }, "Play");
    let timer = 0;
    function show(at) {
      frame.style.backgroundPosition = `-${at * strip.pitch * zoom}px -${strip.top * zoom}px`;
      frame.setAttribute("aria-label", `${label(place)} in ${network}, ${names[at]}`);
      slider.setAttribute("aria-valuetext", names[at]);
      const numbers = change.find((row) => row.epoch === strip.frames[at]);
      told.textContent = names[at] + (numbers && numbers.paired_similarity !== null ? `: similarity ${number(numbers.paired_similarity)}` : "");
    }
    function run_() {
      if (timer) return stop();
      play.textContent = "Stop";
      slider.value = "0";
      show(0);
      timer = setInterval(() => {
        if (!slider.isConnected || Number(slider.value) === last) return stop();
        slider.value = String(Number(slider.value) + 1);
        return show(Number(slider.value));
      }, 600);
      return undefined;
    }
    function stop() {
      clearInterval(timer);
      timer = 0;
      play.textContent = "Play";
    }
    show(last);
    return h("div", { class: "film" }, h("h3", {}, network), frame, h("label", { for: id, class: "unseen" }, `Epoch of ${network}`), slider, h("div", { class: "tools" }, told, play, h("a", { href: source.replace(/png$/, "webp") }, "Animation")));
  }

  function rise(place, films) {
    const measure = ["visual_change", "paired_similarity"].find((name) => films.some(([, { change }]) => change.some((row) => typeof row[name] === "number")));
    if (!measure) return null;
    const rows = films.flatMap(([network, { change }]) => change.filter((row) => row[measure] !== null).map((row) => ({ network, epoch: row.epoch, [measure]: row[measure] })));
    const names = films.map(([network]) => network);
    const title = featurediff.titled(measure);
    return figure({
      title: `${measure} by epoch`, alt: `${title} at each epoch: ${rows.map((row) => `${row.network} epoch ${row.epoch}: ${number(row[measure])}`).join(", ")}.`,
      rows, columns: ["network", "epoch", measure], file: `${label(place).replace(":", "_")}_film.csv`, height: 200,
      spec: () => ({
        mark: { type: "line", point: true },
        encoding: {
          x: { field: "epoch", type: "quantitative", title: "epoch", axis: { format: "d", tickMinStep: 1, grid: false } },
          y: { field: measure, type: "quantitative", title }, color: { field: "network", type: "nominal", scale: scale(names), title: null },
          tooltip: [{ field: "network" }, { field: "epoch" }, { field: measure, format: ".4g" }],
        },
      }),
    });
  }

  /* ---- photographs, with the receptive field at the map's maximum ---- */

  function image(network, probe, [tile, activation, maximum, tied, left, top, right, bottom], size) {
    const [path, class_, data] = probe.images[tile];
    const scale_ = size / probe.size;
    const spoken = `${class_}, ${data}: activation ${number(activation)}`;
    const known = left !== null && right > left && bottom > top && !(left <= 0 && top <= 0 && right >= probe.size && bottom >= probe.size);
    const patch = known ? h("span", { class: "patch", style: { left: `${left * scale_}px`, top: `${top * scale_}px`, width: `${(right - left) * scale_}px`, height: `${(bottom - top) * scale_}px` } }) : null;
    return h("li", { title: `${path}, ${data}; maximum ${number(maximum)}${tied ? "; tied with a photograph that is not shown" : ""}` },
      h("span", { class: "probe" }, featurediff.probeTile(network, tile, size, spoken), patch), h("span", { class: "caption" }, class_), h("span", { class: "caption soft" }, number(activation)));
  }

  async function topImages(network, top) {
    const probe = await load(`networks/${network}/probe`);
    const row = (name, list, words) => h("div", { class: "strip" }, h("h4", {}, words), list.length ? h("ul", {}, list.map((one) => image(network, probe, one, 76))) : h("p", { class: "note" }, "No photograph activates it."));
    const shared = new Set(top.base.map(([tile]) => tile).filter((tile) => top.tuned.some(([other]) => other === tile))).size;
    return h("div", { class: "probes" }, h("h3", {}, `${run.base} and ${network}`), row("base", top.base, `before: ${run.base}`), row("tuned", top.tuned, `after: ${network}`),
      h("p", { class: "note" }, `${shared} of ${top.base.length} photographs are in both lists. Below each are its class and the mean of the channel's activation map. A frame marks the receptive field at the map's maximum; without a frame it is the whole photograph.`));
  }

  /* ---- classes ---- */

  function selectivity(known, networks) {
    const lines = networks.flatMap((network) => (known[network].evidence.selectivity || []).map(([task, before, after, classBefore, classAfter, reason]) => h("tr", {},
      h("th", { scope: "row" }, network), h("td", {}, task), h("td", { class: "n" }, number(before)), h("td", {}, classBefore ?? "–"), h("td", { class: "n" }, number(after)), h("td", {}, classAfter ?? "–"), h("td", {}, reason || ""))));
    if (!lines.length) return null;
    const heads = [["network"], ["classes of"], ["selectivity before", "n"], ["preferred class before"], ["selectivity after", "n"], ["preferred class after"], [""]];
    return [featurediff.table("Class selectivity", heads, lines), h("p", { class: "note" }, "Selectivity is the largest class mean minus the mean of the other classes, divided by their sum (Morcos et al. 2018): 0 where the channel responds to all classes alike, 1 where it responds to one class only.")];
  }

  featurediff.evidence = async (place, known, networks) => {
    const films = networks.filter((network) => known[network].evidence.film).map((network) => [network, known[network].evidence.film]);
    const shown = films.map(([network, one]) => film(network, place, one)).filter(Boolean);
    const top = await Promise.all(networks.filter((network) => known[network].evidence.top).map((network) => topImages(network, known[network].evidence.top)));
    return {
      film: shown.length ? [h("div", { class: "films" }, shown), rise(place, films)] : [],
      top,
      selectivity: selectivity(known, networks),
    };
  };
})();
