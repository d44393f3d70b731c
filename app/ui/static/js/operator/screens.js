/** The operator's screens. Another one is a module and a line here; as in the Studio, `icon` puts it into the navigation. */

export const screens = [
  { path: "/operator", title: "Now", icon: "pulse", load: () => import("./now.js").then((module) => module.Now) },
  { path: "/operator/jobs", title: "Jobs", icon: "list", load: () => import("./jobs.js").then((module) => module.Jobs) },
  { path: "/operator/jobs/:jobId", title: "Job", within: "/operator/jobs", load: () => import("./job.js").then((module) => module.JobPage) },
  { path: "/operator/failures", title: "Failures", icon: "alert", load: () => import("./failures.js").then((module) => module.Failures) },
];
