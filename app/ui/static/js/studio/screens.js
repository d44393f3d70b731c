/**
 * The Studio's screens. Another one is a module and a line here.
 *
 * `load` resolves to the component, which gets what the `:names` of its path stand for as props; `icon` puts it into the navigation.
 */

export const screens = [
  { path: "/studio", title: "Create", icon: "spark", load: () => import("./create.js").then((module) => module.Create) },
  { path: "/studio/gallery", title: "Gallery", icon: "grid", load: () => import("./gallery.js").then((module) => module.Gallery) },
];
