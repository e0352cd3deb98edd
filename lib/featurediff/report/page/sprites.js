"use strict";
/* Pictures: tiles cut out of sheets, and full-size files, which a tile replaces where the file is missing. */
(() => {
  const { h, run, label } = featurediff;

  const relative = (...parts) => parts.map(encodeURIComponent).join("/");

  function cut(sheet, tile, at, size, attributes) {
    const { across } = run.data.sheets;
    const style = {
      "background-image": `url("thumbs/${sheet}.webp")`,
      "background-size": `${across * size}px auto`,
      "background-position": `-${(at % across) * size}px -${Math.floor(at / across) * size}px`,
      width: `${size}px`,
      height: `${size}px`,
    };
    return h("span", { class: "tile", style, ...attributes });
  }

  /* The small picture of a channel in a network, `size` CSS pixels wide; hidden from screen readers unless `named`. */
  function tile(network, place, size, named = true) {
    const layer = run.layers[run.layerOf[place]];
    const within = place - layer.first;
    const sheet = `${relative(network, layer.name)}-${Math.floor(within / run.data.sheets.per_sheet)}`;
    const spoken = named ? { role: "img", "aria-label": `${label(place)} in ${network}` } : { "aria-hidden": "true" };
    return cut(sheet, run.data.tile, within % run.data.sheets.per_sheet, size, spoken);
  }

  function probeTile(network, number, size, spoken) {
    const { per_sheet: per } = run.data.sheets;
    return cut(`${relative(network, "probe")}-${Math.floor(number / per)}`, size, number % per, size, { role: "img", "aria-label": spoken });
  }

  /* The PNG's address, relative to the page. */
  function file(network, place, seed) {
    const folder = `../${relative(network, "pictures", run.layers[run.layerOf[place]].name)}`;
    return `${folder}/${seed ? `seed${seed}/` : ""}channel${run.channelOf[place]}.png`;
  }

  /* A link to the PNG that shows it; the tile where the page was copied without the results. */
  function picture(network, place, seed, size) {
    const source = file(network, place, seed);
    const image = h("img", {
      src: source,
      alt: `${label(place)} in ${network}, seed ${seed}`,
      loading: "lazy",
      decoding: "async",
      width: size,
      height: size,
    });
    const opened = h("a", { href: source, target: "_blank", rel: "noopener", class: "full" }, image);
    image.addEventListener("error", () => {
      const lost = h("span", { class: "note" }, "The full-size file is missing.");
      opened.replaceWith(seed === 0 ? h("span", {}, tile(network, place, size), lost) : lost);
    });
    return opened;
  }

  /* The pictures of the base and of a fine-tuned network, side by side. */
  function pair(network, place, size, named = false) {
    const shown = network === run.base ? [run.base] : [run.base, network];
    return h("span", { class: "pair" }, shown.map((name) => tile(name, place, size, named)));
  }

  const pairNote = () => `Each pair shows the channel's picture in ${run.base} on the left and in the fine-tuned network on the right.`;

  Object.assign(featurediff, { tile, probeTile, file, picture, pair, pairNote });
})();
