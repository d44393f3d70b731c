/**
 * The Studio's screens. Another one is a module and a line here.
 *
 * `load` resolves to the component, which gets what the `:names` of its path stand for as props; `icon` puts it into the navigation.
 */

export const screens = [
  { path: "/studio", title: "Create", icon: "spark", load: () => import("./create.js").then((module) => module.Create) },
  { path: "/studio/gallery", title: "Gallery", icon: "grid", load: () => import("./gallery.js").then((module) => module.Gallery) },
  { path: "/studio/batches", title: "Batches", icon: "stack", load: () => import("./batches.js").then((module) => module.Batches) },
  { path: "/studio/batches/new", title: "New batch", within: "/studio/batches", load: () => import("./new_batch.js").then((module) => module.NewBatch) },
  { path: "/studio/batches/:id", title: "Batch", within: "/studio/batches", load: () => import("./batch.js").then((module) => module.Batch) },
  { path: "/studio/spend", title: "Spend", icon: "coins", load: () => import("./spend.js").then((module) => module.Spend) },
];
