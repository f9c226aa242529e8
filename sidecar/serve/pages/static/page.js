"use strict";
// Everything works without this script but the live parts and the keys.
(() => {
  const rowsKept = 1000;

  function refresh() {
    const live = document.getElementById("live"), pause = document.getElementById("pause");
    if (!live || !pause) return;
    const note = document.getElementById("refreshed");
    let paused = false;
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      pause.textContent = paused ? "Go on" : "Pause";
    });
    setInterval(async () => {
      if (paused || document.hidden || live.contains(document.activeElement)) return;
      try {
        const answer = await fetch(location.href.split("#")[0]);
        if (!answer.ok) throw new Error(String(answer.status));
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
        if (fresh) live.replaceChildren(...fresh.childNodes);
        note.textContent = "";
      } catch (error) {
        note.textContent = "no answer: what is shown is old";
      }
    }, Number(live.dataset.refresh) * 1000);
  }

  function tail() {
    const button = document.getElementById("tail"), state = document.getElementById("tail-state");
    const rows = document.getElementById("rows");
    if (!button || !rows || !window.EventSource) return;
    let source = null;
    const stop = (why) => {
      if (source) source.close();
      source = null;
      button.setAttribute("aria-pressed", "false");
      rows.setAttribute("aria-live", "off");
      state.textContent = why;
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      if (source) return stop("stopped");
      source = new EventSource(button.dataset.from);
      button.setAttribute("aria-pressed", "true");
      rows.setAttribute("aria-live", "polite");
      state.textContent = "connecting";
      source.onopen = () => { state.textContent = "waiting for new records"; };
      source.onerror = () => {
        if (source && source.readyState === EventSource.CLOSED) stop("refused: too many tails are open, or a filter is invalid");
        else state.textContent = "the connection is lost; trying again";
      };
      source.addEventListener("trouble", (event) => stop(JSON.parse(event.data)));
      source.addEventListener("rows", (event) => {
        // The server has escaped what is in it; the policy of the page lets no script in it run.
        const fresh = new DOMParser().parseFromString(JSON.parse(event.data), "text/html").body;
        for (const row of fresh.children) row.classList.add("fresh");
        rows.prepend(...fresh.childNodes);
        while (rows.children.length > rowsKept) rows.lastElementChild.remove();
        const none = document.getElementById("no-rows");
        if (none) none.remove();
        state.textContent = "live";
      });
    });
  }

  function keys() {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, select, textarea")) return;
      if (event.key === "/") {
        const field = document.getElementById("search") || document.querySelector("form input:not([type=hidden])");
        if (field) { event.preventDefault(); field.focus(); }
      } else if (event.key === "j" || event.key === "k") {
        const rows = [...document.querySelectorAll("[data-row]")], at = rows.indexOf(document.activeElement);
        const next = rows[at < 0 ? 0 : at + (event.key === "j" ? 1 : -1)];
        if (next) { event.preventDefault(); next.focus(); }
      } else {
        const link = [...document.querySelectorAll("nav [data-key]")].find((one) => one.dataset.key === event.key);
        if (link) link.click();
      }
    });
  }

  refresh();
  tail();
  keys();
})();
