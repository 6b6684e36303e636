// SPDX-License-Identifier: Apache-2.0
// What a person sees of a page, for a test to judge. Evaluated in the page; comes to an object of functions.
({
  // The boxes of the drawing, each with those in it.
  boxes(within = document.querySelector("main")) {
    const all = [...within.querySelectorAll("section.box")];
    const own = all.filter((box) => box.parentElement.closest("section.box, main") === within);
    return own.map((box) => {
      const mine = (selector) => [...box.querySelectorAll(selector)].filter((e) => e.closest("section.box") === box);
      const text = (element, selector) => element.querySelector(selector).innerText.trim();
      const process = (e) => ({ inside: text(e, ".inside"), command: text(e, "code"), host: text(e, ".outside") });
      return {
        title: mine("h2")[0].innerText,
        own: mine("li.own").map((kind) => kind.innerText),
        shared: mine("li.shared").map((kind) => kind.innerText),
        roots: mine(".root").map((root) => ({
          root: text(root, "h3"),
          processes: [...root.querySelectorAll("li.p")].map(process),
        })),
        outside: mine(".waits").map((e) => text(e, ".outside")),
        boxes: this.boxes(box),
      };
    });
  },

  // Every colour of a kind of namespace in every state, beside those that the page happens to have.
  addEveryKind() {
    const kinds = ["user", "mnt", "pid", "uts", "ipc", "net", "cgroup", "time"];
    const states = ["own", "shared", "hosts", "unknown"];
    const list = document.createElement("ul");
    list.className = "kinds";
    for (const kind of kinds) {
      for (const state of states) {
        const item = document.createElement("li");
        item.className = `kind ${kind} ${state}`;
        item.textContent = `${kind} ${state}`;
        list.append(item);
      }
    }
    for (const place of document.querySelectorAll("section.box, main, .legend")) place.append(list.cloneNode(true));
    return kinds.length * states.length;
  },

  // Elements with text of their own, and its contrast to what is behind it (WCAG 2.2, 1.4.3).
  contrasts() {
    const shown = [...document.body.querySelectorAll("*")].filter((e) => e.getClientRects().length > 0);
    const texts = shown.filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim() !== ""));
    return texts.map((element) => {
      const behind = this.colourBehind(element);
      const front = this.over(this.faded(this.parts(getComputedStyle(element).color), element), behind);
      const [light, dark] = [this.luminance(front), this.luminance(behind)].sort((a, b) => b - a);
      const name = `${element.tagName.toLowerCase()}.${element.className}`;
      return { name, text: element.innerText.trim().slice(0, 40), ratio: (light + 0.05) / (dark + 0.05) };
    });
  },

  // Red, green, blue (0 to 255) and opacity, drawn to learn them: the notations for a colour are many.
  parts(colour) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d");
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue, opacity] = context.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, opacity / 255];
  },

  // A colour as it is after the opacity of the element and of all that it lies in.
  faded([red, green, blue, opacity], element) {
    for (let e = element; e; e = e.parentElement) opacity *= Number(getComputedStyle(e).opacity);
    return [red, green, blue, opacity];
  },

  over([red, green, blue, opacity], behind) {
    const mix = (front, back) => front * opacity + back * (1 - opacity);
    return [mix(red, behind[0]), mix(green, behind[1]), mix(blue, behind[2]), 1];
  },

  colourBehind(element) {
    if (!element) return getComputedStyle(document.documentElement).colorScheme === "dark" ? [0, 0, 0, 1] : [255, 255, 255, 1];
    const own = this.parts(getComputedStyle(element).backgroundColor);
    return this.over(this.faded(own, element), this.colourBehind(element.parentElement));
  },

  luminance([red, green, blue]) {
    const linear = (part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  },

  // What reaches over the edge of the window, or has text that its own edge cuts off; `code` says in its title all that it cuts.
  overflowing() {
    const width = document.documentElement.clientWidth;
    const found = document.documentElement.scrollWidth > width ? ["the page"] : [];
    for (const element of document.body.querySelectorAll("*")) {
      const { left, right } = element.getBoundingClientRect();
      const isCut = element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline";
      const isSaid = element.tagName === "CODE" && element.title === element.textContent;
      if (right > width + 0.5 || left < -0.5 || (isCut && !isSaid)) {
        found.push(`${element.tagName.toLowerCase()}.${element.className}: ${element.innerText.slice(0, 40)}`);
      }
    }
    return found;
  },
})
