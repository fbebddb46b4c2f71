// A canvas of the model's own size, enlarged by the page; its value is what it shows, as a PNG's URL.
const canvas = element.querySelector("canvas");
const brush = element.querySelector("input");
const context = canvas.getContext("2d", { alpha: false });
const width = Math.max(1.2, canvas.width / 13);
let last = null;
let shown = "";

const clear = () => {
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
};
const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * canvas.width,
    ((event.clientY - box.top) / box.height) * canvas.height,
  ];
};
const stroke = (from, to) => {
  context.strokeStyle = brush ? brush.value : "#fff";
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
};
const tell = () => {
  shown = canvas.toDataURL("image/png");
  props.value = shown;
  trigger("change");
};

clear();
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  last = place(event);
  stroke(last, last);
});
canvas.addEventListener("pointermove", (event) => {
  if (!last) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) {
    const now = place(each);
    stroke(last, now);
    last = now;
  }
});
for (const name of ["pointerup", "pointercancel"])
  canvas.addEventListener(name, () => {
    if (last) tell();
    last = null;
  });
// From the server: a file that was uploaded, or nothing for a clean canvas.
watch("value", () => {
  if (props.value === shown) return;
  shown = props.value;
  clear();
  if (!shown) return;
  const image = new Image();
  image.onload = () => context.drawImage(image, 0, 0);
  image.src = shown;
});
