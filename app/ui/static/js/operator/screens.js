/** The operator's screens. Another one is a module and a line here; as in the Studio, `icon` puts it into the navigation. */

export const screens = [
  { path: "/operator", title: "Now", icon: "pulse", load: () => import("./now.js").then((module) => module.Now) },
];
