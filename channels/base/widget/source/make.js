import { icon } from "./icons.js";

// make("button.send", {type: "submit"}, child, ...): an element with its class, properties and children.
// Properties with a dash are attributes; text only ever enters as text.
export function make(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export function iconButton(what, shape, label, onclick) {
  return make(what, { type: "button", title: label, "aria-label": label, onclick }, icon(shape));
}
