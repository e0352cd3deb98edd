"use strict";
/*
 * A grid of any number of cards of one size that scrolls with the page: only the cards near the window are in the document.
 * The arrow keys, Home, End, Page Up and Page Down move the focus; Tab goes from card to card.
 */
(() => {
  const { h } = featurediff;
  const SPARE = 3; // rows above and below the window

  /* `make(index)` -> element of a card. `width`, `height`: of a card with its gap, in CSS pixels. */
  function grid({ make, width, height, labelled }) {
    const list = h("ul", { class: "grid", "aria-label": labelled });
    const cards = new Map(); // index -> <li>
    let total = 0;
    let across = 1;
    let asked = false;

    function lay() {
      const room = list.clientWidth;
      across = Math.max(1, Math.floor((room + 1) / width));
      list.style.height = `${Math.ceil(total / across) * height}px`;
    }

    function place(item, index) {
      item.style.transform = `translate(${(index % across) * width}px, ${Math.floor(index / across) * height}px)`;
    }

    function window_() {
      const top = -list.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(top / height) - SPARE) * across;
      const last = Math.min(total, (Math.ceil((top + innerHeight) / height) + SPARE) * across);
      return [first, Math.max(first, last)];
    }

    /* Cards are inserted in their order, so that the document has the order that is seen. */
    function fill() {
      asked = false;
      if (!list.isConnected) return;
      const [first, last] = window_();
      for (const [index, item] of cards) {
        if ((index < first || index >= last) && !item.contains(document.activeElement)) {
          item.remove();
          cards.delete(index);
        }
      }
      let before = null;
      for (let index = last - 1; index >= first; index -= 1) {
        let item = cards.get(index);
        if (!item) {
          item = h("li", { "aria-posinset": index + 1, "aria-setsize": total, "data-index": index, style: { width: `${width}px`, height: `${height}px` } }, make(index));
          place(item, index);
          cards.set(index, item);
          list.insertBefore(item, before);
        }
        before = item;
      }
    }

    function soon() {
      if (!asked) {
        asked = true;
        requestAnimationFrame(fill);
      }
    }

    /* Show another set of cards; all of them are made again. */
    function show(number) {
      total = number;
      cards.clear();
      list.replaceChildren();
      lay();
      fill();
    }

    function focus(index) {
      const wanted = Math.max(0, Math.min(total - 1, index));
      const box = list.getBoundingClientRect();
      const top = box.top + Math.floor(wanted / across) * height;
      const bar = document.querySelector("header.top").offsetHeight;
      if (top < bar) scrollBy(0, top - bar - 8);
      else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight + 8);
      fill();
      const card = cards.get(wanted);
      if (card) card.querySelector("a").focus({ preventScroll: true });
    }

    list.addEventListener("keydown", (event) => {
      const item = event.target.closest("li");
      if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
      const index = Number(item.dataset.index);
      const rows = Math.max(1, Math.floor(innerHeight / height) - 1);
      const moves = {
        ArrowRight: index + 1, ArrowLeft: index - 1, ArrowDown: index + across, ArrowUp: index - across,
        Home: 0, End: total - 1, PageDown: index + rows * across, PageUp: index - rows * across,
      };
      if (!(event.key in moves)) return;
      event.preventDefault();
      focus(moves[event.key]);
    });

    addEventListener("scroll", soon, { passive: true });
    let room = 0;
    new ResizeObserver(() => {
      if (list.clientWidth === room || !list.isConnected) return;
      room = list.clientWidth;
      lay();
      for (const [index, item] of cards) place(item, index);
      fill();
    }).observe(list);

    function close() {
      removeEventListener("scroll", soon);
    }

    return { element: list, show, close };
  }

  featurediff.grid = grid;
})();
