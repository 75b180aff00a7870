// Compares two pictures: divider, zoom, pan, difference. Shared by the report and the local web page.
//
//   const viewer = new Viewer(element, { before, after, places, scale });
//
// before, after: addresses (URL, data URI) of the pictures, as strings.
// places: [{ left, top, width, height, difference }] in pixels of `after`; may be empty.
// scale: how many times larger `after` is than `before` per side.
//
// viewer.show({ before, after, places, scale }) shows another pair in the same element. viewer.destroy() empties it.
// `element` fires the events "next" and "previous" for the keys N and P.

const MOST_ZOOM = 32; // device pixels of one pixel
const MODES = [
  ["split", "Divider", "V"],
  ["before", "Before", "B"],
  ["after", "After", "A"],
  ["side", "Side by side", "S"],
  ["difference", "Difference ×4", "D"],
];
const HELP =
  "Left and right arrows move the divider. Shift and arrows move the picture. 1: one pixel per screen pixel. " +
  "F: fit. B: before. A: after. V: divider. S: side by side. D: difference, 4 times. X: square pixels. " +
  "N: next. P: previous. Plus and minus, wheel or pinch: zoom.";

function made(tag, properties = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

export class Viewer {
  #element;
  #stage;
  #layers;
  #images = {};
  #labels = {};
  #divider;
  #frame;
  #status;
  #buttons = {};
  #places;
  #mode = "split";
  #lastMode = "split";
  #share = 0.5; // of the stage's width, left of the divider
  #zoom = 1; // CSS pixels of one pixel of `after`
  #x = 0; // CSS pixels from the view's left edge to the picture's
  #y = 0;
  #isFitted = true;
  #isSquare = true;
  #framed = null; // a place
  #pair = { places: [], scale: 1 };
  #pointers = new Map();
  #dragsDivider = false;
  #isLoaded = false;
  #generation = 0;
  #abort = new AbortController();
  #resizes;

  constructor(element, pair) {
    this.#element = element;
    this.#build();
    this.#listen();
    this.show(pair);
  }

  /** Shows a pair of pictures, fitted. */
  show(pair) {
    this.#pair = { places: [], scale: 1, ...pair };
    this.#isSquare = this.#pair.scale === 1;
    this.#isLoaded = false;
    this.#isFitted = true;
    this.#stage.classList.add("loading");
    this.#frame.hidden = true;
    const generation = ++this.#generation;
    const loads = ["before", "after"].map((side) => {
      this.#images[side].src = this.#pair[side];
      return this.#images[side].decode();
    });
    this.#fillPlaces();
    return Promise.all(loads).then(
      () => {
        if (generation !== this.#generation) return;
        this.#isLoaded = true;
        this.#stage.classList.remove("loading");
        this.fit();
      },
      () => {
        if (generation === this.#generation) this.#status.textContent = "The pictures cannot be shown.";
      },
    );
  }

  /** Removes everything from the element, and all listeners. */
  destroy() {
    this.#generation++;
    this.#abort.abort();
    this.#resizes.disconnect();
    this.#element.replaceChildren();
  }

  /** What is shown: for tests and for pages around the viewer. */
  get state() {
    return {
      mode: this.#mode,
      divider: this.#share,
      zoom: this.#zoom * this.#ratio, // device pixels of one pixel of `after`
      x: this.#x,
      y: this.#y,
      isFitted: this.#isFitted,
      isSquare: this.#isSquare,
      isLoaded: this.#isLoaded,
    };
  }

  /** "split", "before", "after", "side" or "difference". */
  setMode(mode) {
    const wasSide = this.#mode === "side";
    if (!["before", "difference"].includes(this.#mode)) this.#lastMode = this.#mode;
    this.#mode = mode;
    if (this.#isFitted && wasSide !== (mode === "side")) this.fit();
    else this.#draw();
  }

  /** Moves the divider to a share of the width, 0..1. */
  setDivider(share) {
    this.#share = clamp(share, 0, 1);
    if (this.#mode !== "split") this.setMode("split");
    else this.#draw();
  }

  /** The whole picture in view. */
  fit() {
    const { width, height } = this.#view;
    const zoom = Math.min(width / this.#width, height / this.#height);
    this.#zoom = clamp(zoom, 1e-4, 4 / this.#ratio);
    this.#x = (width - this.#width * this.#zoom) / 2;
    this.#y = (height - this.#height * this.#zoom) / 2;
    this.#isFitted = true;
    this.#draw();
  }

  /** One pixel of `after` per device pixel, about the middle of the view. */
  oneToOne() {
    this.zoomTo(1 / this.#ratio);
  }

  /** Zooms to CSS pixels per pixel; the point (x, y) of the view stays. */
  zoomTo(zoom, x = this.#view.width / 2, y = this.#view.height / 2) {
    if (!this.#isLoaded) return;
    const next = clamp(zoom, Math.min(this.#fitted, 1 / this.#ratio) / 2, MOST_ZOOM / this.#ratio);
    this.#x = x - ((x - this.#x) * next) / this.#zoom;
    this.#y = y - ((y - this.#y) * next) / this.#zoom;
    this.#zoom = next;
    this.#isFitted = false;
    this.#draw();
  }

  /** Moves the picture by CSS pixels. */
  pan(dx, dy) {
    if (!this.#isLoaded) return;
    this.#x += dx;
    this.#y += dy;
    this.#isFitted = false;
    this.#draw();
  }

  /** Shows a place in the middle, in whole device pixels, and frames it. */
  goTo(place) {
    if (!this.#isLoaded) return;
    const { width, height } = this.#view;
    const most = Math.min(width / place.width, height / place.height) * 0.8 * this.#ratio;
    this.#zoom = clamp(Math.floor(most), 1, 8) / this.#ratio;
    this.#x = width / 2 - (place.left + place.width / 2) * this.#zoom;
    this.#y = height / 2 - (place.top + place.height / 2) * this.#zoom;
    this.#isFitted = false;
    this.#framed = place;
    this.#draw();
  }

  get #ratio() {
    return window.devicePixelRatio || 1;
  }

  get #width() {
    return this.#images.after.naturalWidth || 1;
  }

  get #height() {
    return this.#images.after.naturalHeight || 1;
  }

  get #view() {
    const { clientWidth, clientHeight } = this.#stage;
    return { width: (this.#mode === "side" ? clientWidth / 2 : clientWidth) || 1, height: clientHeight || 1 };
  }

  get #fitted() {
    return Math.min(this.#view.width / this.#width, this.#view.height / this.#height);
  }

  #build() {
    const toolbar = made("div", { className: "viewer-tools", role: "toolbar", "aria-label": "View" });
    for (const [mode, name, key] of MODES) {
      const button = made("button", { type: "button", textContent: name, title: `${name} (${key})` });
      button.setAttribute("aria-keyshortcuts", key);
      button.addEventListener("click", () => this.setMode(mode));
      this.#buttons[mode] = button;
      toolbar.append(button);
    }
    const actions = [
      ["Fit", "F", () => this.fit()],
      ["1:1", "1", () => this.oneToOne()],
      ["Square pixels", "X", () => this.#toggleSquare()],
    ];
    for (const [name, key, action] of actions) {
      const button = made("button", { type: "button", textContent: name, title: `${name} (${key})` });
      button.setAttribute("aria-keyshortcuts", key);
      button.addEventListener("click", action);
      toolbar.append(button);
      this.#buttons[name] = button;
    }
    for (const side of ["before", "after"]) {
      this.#images[side] = made("img", { alt: side === "before" ? "Before" : "After", draggable: false });
      this.#labels[side] = made("span", { className: `viewer-label ${side}`, "aria-hidden": "true" });
      this.#labels[side].textContent = side === "before" ? "before" : "after";
    }
    this.#frame = made("div", { className: "viewer-frame", hidden: true });
    this.#divider = made("div", {
      className: "viewer-divider",
      role: "slider",
      tabIndex: 0,
      "aria-label": "Divider between before and after",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      "aria-orientation": "horizontal",
    });
    this.#layers = made("div", { className: "viewer-layers" }, [
      made("div", { className: "viewer-pane before" }, [this.#images.before]),
      made("div", { className: "viewer-pane after" }, [this.#images.after]),
    ]);
    this.#stage = made("div", { className: "viewer-stage" }, [
      this.#layers,
      this.#frame,
      this.#labels.before,
      this.#labels.after,
      this.#divider,
    ]);
    this.#stage.setAttribute("role", "group");
    this.#stage.setAttribute("aria-label", "Before and after");
    this.#stage.tabIndex = 0;
    this.#places = made("div", { className: "viewer-places", role: "group", "aria-label": "Most changed places" });
    this.#status = made("p", { className: "viewer-status", role: "status" });
    const help = made("details", { className: "viewer-help" }, [
      made("summary", { textContent: "Keys" }),
      made("p", { textContent: HELP }),
    ]);
    this.#element.classList.add("viewer");
    this.#element.replaceChildren(toolbar, this.#stage, this.#places, this.#status, help);
  }

  #fillPlaces() {
    this.#framed = null;
    const buttons = this.#pair.places.map((place, index) => {
      const text = `Place ${index + 1}: ${place.difference.toFixed(1)} levels`;
      const button = made("button", { type: "button", textContent: text, title: "Mean difference in 8-bit grey levels. Go to this place." });
      button.addEventListener("click", () => this.goTo(place));
      return button;
    });
    const heading = buttons.length ? "Most changed:" : "Nothing changed.";
    this.#places.replaceChildren(made("span", { textContent: heading }), ...buttons);
  }

  #listen() {
    const stage = this.#stage;
    const options = { signal: this.#abort.signal };
    this.#element.addEventListener("keydown", (event) => this.key(event), options);
    // The browser's own drag of a picture would end ours.
    stage.addEventListener("dragstart", (event) => event.preventDefault(), options);
    stage.addEventListener("wheel", (event) => this.#wheel(event), { ...options, passive: false });
    stage.addEventListener("pointerdown", (event) => this.#pointerDown(event), options);
    stage.addEventListener("pointermove", (event) => this.#pointerMove(event), options);
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      stage.addEventListener(end, (event) => this.#pointers.delete(event.pointerId), options);
    }
    this.#resizes = new ResizeObserver(() => (this.#isFitted ? this.fit() : this.#draw()));
    this.#resizes.observe(stage);
  }

  /** Handles a keydown event. A page may pass on those that it gets outside the viewer. */
  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const actions = {
      arrowleft: () => (event.shiftKey ? this.pan(40, 0) : this.setDivider(this.#share - 0.02)),
      arrowright: () => (event.shiftKey ? this.pan(-40, 0) : this.setDivider(this.#share + 0.02)),
      arrowup: event.shiftKey ? () => this.pan(0, 40) : null,
      arrowdown: event.shiftKey ? () => this.pan(0, -40) : null,
      home: event.target === this.#divider ? () => this.setDivider(0) : null,
      end: event.target === this.#divider ? () => this.setDivider(1) : null,
      1: () => this.oneToOne(),
      f: () => this.fit(),
      b: () => this.setMode(this.#mode === "before" ? this.#lastMode : "before"),
      a: () => this.setMode("after"),
      v: () => this.setMode("split"),
      s: () => this.setMode("side"),
      d: () => this.setMode(this.#mode === "difference" ? this.#lastMode : "difference"),
      x: () => this.#toggleSquare(),
      n: () => this.#element.dispatchEvent(new CustomEvent("next")),
      p: () => this.#element.dispatchEvent(new CustomEvent("previous")),
      "+": () => this.zoomTo(this.#zoom * 1.25),
      "=": () => this.zoomTo(this.#zoom * 1.25),
      "-": () => this.zoomTo(this.#zoom / 1.25),
    };
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }

  #toggleSquare() {
    this.#isSquare = !this.#isSquare;
    this.#draw();
  }

  /** Position of a pointer in the view; both halves of "side" count as one. */
  #at(event) {
    const box = this.#stage.getBoundingClientRect();
    const x = event.clientX - box.left - this.#stage.clientLeft;
    return { x: this.#mode === "side" ? x % this.#view.width : x, y: event.clientY - box.top - this.#stage.clientTop };
  }

  #wheel(event) {
    event.preventDefault();
    const unit = [1, 16, 400][event.deltaMode] ?? 1;
    const speed = event.ctrlKey ? 0.01 : 0.002; // browsers send a touchpad's pinch as Ctrl and wheel
    const factor = Math.exp(-clamp(event.deltaY * unit * speed, -1, 1));
    const { x, y } = this.#at(event);
    this.zoomTo(this.#zoom * factor, x, y);
  }

  #pointerDown(event) {
    if (event.button !== 0) return;
    this.#pointers.set(event.pointerId, this.#at(event));
    this.#stage.setPointerCapture(event.pointerId);
    if (this.#pointers.size === 1) this.#dragsDivider = event.target === this.#divider;
    (this.#dragsDivider ? this.#divider : this.#stage).focus({ preventScroll: true });
    event.preventDefault();
  }

  #pointerMove(event) {
    const last = this.#pointers.get(event.pointerId);
    if (!last) return;
    const now = this.#at(event);
    if (this.#pointers.size === 1 && this.#dragsDivider) {
      this.setDivider(now.x / this.#view.width);
    } else if (this.#pointers.size === 1) {
      this.pan(now.x - last.x, now.y - last.y);
    } else if (this.#pointers.size === 2) {
      const [other] = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      const length = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      const middle = (point) => ({ x: (point.x + other.x) / 2, y: (point.y + other.y) / 2 });
      this.pan(middle(now).x - middle(last).x, middle(now).y - middle(last).y);
      this.zoomTo((this.#zoom * length(now)) / length(last), middle(now).x, middle(now).y);
    }
    this.#pointers.set(event.pointerId, now);
  }

  /** Keeps 40 pixels of the picture in view, so that it cannot get lost. */
  #keepInView() {
    const { width, height } = this.#view;
    const keep = 40;
    this.#x = clamp(this.#x, keep - this.#width * this.#zoom, width - keep);
    this.#y = clamp(this.#y, keep - this.#height * this.#zoom, height - keep);
  }

  #draw() {
    const ratio = this.#ratio;
    if (this.#isLoaded) this.#keepInView();
    const x = Math.round(this.#x * ratio) / ratio; // whole device pixels, so that 1:1 is sharp
    const y = Math.round(this.#y * ratio) / ratio;
    for (const side of ["before", "after"]) {
      const image = this.#images[side];
      const scale = this.#width / (image.naturalWidth || 1);
      image.style.transform = `translate(${x}px, ${y}px) scale(${this.#zoom * scale})`;
      // Below 1:1, picking single pixels would alias.
      image.classList.toggle("square", this.#isSquare && this.#zoom * scale * ratio >= 1);
    }
    // The pictures' edges cover parts of pixels, which a difference would light up.
    const inset = (size, low, high) => [Math.ceil(Math.max(low, 0)), Math.ceil(Math.max(size - high, 0))];
    const view = this.#view;
    const [left, right] = inset(view.width, x, x + this.#width * this.#zoom);
    const [top, bottom] = inset(view.height, y, y + this.#height * this.#zoom);
    const isDifference = this.#mode === "difference";
    this.#layers.style.clipPath = isDifference ? `inset(${top}px ${right}px ${bottom}px ${left}px)` : "";
    this.#stage.dataset.mode = this.#mode;
    this.#stage.style.setProperty("--share", `${this.#share * 100}%`);
    this.#divider.setAttribute("aria-valuenow", String(Math.round(this.#share * 100)));
    this.#divider.setAttribute("aria-valuetext", `${Math.round(this.#share * 100)} % before`);
    for (const [mode] of MODES) this.#buttons[mode].setAttribute("aria-pressed", String(mode === this.#mode));
    this.#buttons["Square pixels"].setAttribute("aria-pressed", String(this.#isSquare));
    const place = this.#framed;
    this.#frame.hidden = !place || !this.#isLoaded;
    if (place) {
      this.#frame.style.transform = `translate(${x + place.left * this.#zoom}px, ${y + place.top * this.#zoom}px)`;
      this.#frame.style.width = `${place.width * this.#zoom}px`;
      this.#frame.style.height = `${place.height * this.#zoom}px`;
    }
    if (this.#isLoaded) {
      const percent = this.#zoom * ratio * 100;
      this.#status.textContent = `${this.#width} × ${this.#height} pixels, at ${percent.toFixed(percent < 10 ? 1 : 0)} %`;
    }
  }
}
