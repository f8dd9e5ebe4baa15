// A pad to draw on with a mouse, a pen or a finger: white on black, SIDE x SIDE
// pixels. Notebook 14 shows it as a widget, docs/playground as a part of the page.

export const SIDE = 112; // playground.py has the same
const PEN = 9;

// Returns the pad's canvas, with `read()` and `write(bytes)`; `changed` is called
// after each piece of a stroke (`live`), or when it ends.
export function makePad(changed, live = true) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  canvas.className = "pad";
  // A finger draws, and does not scroll.
  Object.assign(canvas.style, { touchAction: "none", cursor: "crosshair" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pen = { strokeStyle: "white", lineWidth: PEN, lineCap: "round", lineJoin: "round" };
  Object.assign(context, pen);
  let last = null;

  canvas.read = () => {
    const rgba = context.getImageData(0, 0, SIDE, SIDE).data;
    return Uint8Array.from({ length: SIDE * SIDE }, (_, i) => rgba[4 * i]);
  };
  canvas.write = (bytes) => {
    const rgba = new Uint8ClampedArray(4 * SIDE * SIDE).fill(255);
    bytes.forEach((value, i) => rgba.fill(value, 4 * i, 4 * i + 3));
    context.putImageData(new ImageData(rgba, SIDE, SIDE), 0, 0);
  };
  canvas.clear = () => canvas.write(new Uint8Array(SIDE * SIDE));
  canvas.clear();

  const stroke = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) * SIDE) / box.width;
    const y = ((event.clientY - box.top) * SIDE) / box.height;
    context.beginPath();
    context.moveTo(...(last ?? [x, y]));
    context.lineTo(x, y);
    context.stroke();
    last = [x, y];
    if (live) changed();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => last && stroke(event));
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (last) changed();
      last = null;
    });
  }
  return canvas;
}

// The widget: `pixels` are bytes, which every view of the pad shows.
function render({ model, el }) {
  const bytes = () => new Uint8Array(model.get("pixels").buffer);
  const send = () => {
    model.set("pixels", new DataView(pad.read().buffer));
    model.save_changes();
  };
  const pad = makePad(send, false);
  pad.style.width = "168px";
  pad.style.borderRadius = "6px";
  const button = document.createElement("button");
  button.textContent = "clear";
  button.onclick = () => {
    pad.clear();
    send();
  };
  const show = () => pad.write(bytes());
  model.on("change:pixels", show);
  show();
  const column = document.createElement("div");
  column.style.cssText = "display: flex; flex-direction: column; gap: 4px; width: 168px";
  column.append(pad, button);
  el.append(column);
  return () => model.off("change:pixels", show);
}

export default { render };
