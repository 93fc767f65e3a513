const SHAPES = {
  chat: "M4 4h16a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-8l-5 4v-4H4a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2Z M7 9h10 M7 12.5h6",
  close: "M6 6l12 12 M18 6 6 18",
  send: "M4 12 20 4l-5 16-3.5-6.5Z M11.5 13.5 20 4",
  attach: "m20 11-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 4.8 4.8l-8.4 8.4a1.8 1.8 0 0 1-2.5-2.5L14.5 7",
  restart: "M4 5v5h5 M4.6 10A8 8 0 1 1 4 13.5",
  down: "M12 5v14 M6 13l6 6 6-6",
  file: "M6 3h8l5 5v13H6Z M14 3v5h5",
  check: "m5 12.5 4.5 4.5L19 7.5",
};
const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  if (name === "send" || name === "restart") svg.setAttribute("class", "turns"); // mirrored right to left
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}
