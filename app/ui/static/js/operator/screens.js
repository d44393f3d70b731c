/** The operator's screens. Another one is a module and a line here; as in the Studio, `icon` puts it into the navigation. */

export const screens = [
  { path: "/operator", title: "Now", icon: "pulse", load: () => import("./now.js").then((module) => module.Now) },
  { path: "/operator/jobs", title: "Jobs", icon: "list", load: () => import("./jobs.js").then((module) => module.Jobs) },
  { path: "/operator/jobs/:jobId", title: "Job", within: "/operator/jobs", load: () => import("./job.js").then((module) => module.JobPage) },
  { path: "/operator/failures", title: "Failures", icon: "alert", load: () => import("./failures.js").then((module) => module.Failures) },
  { path: "/operator/spend", title: "Spend", icon: "coins", load: () => import("./spend.js").then((module) => module.Spend) },
  { path: "/operator/users", title: "Users", icon: "people", load: () => import("./users.js").then((module) => module.Users) },
  { path: "/operator/users/:userId", title: "User", within: "/operator/users", load: () => import("./user.js").then((module) => module.UserPage) },
  { path: "/operator/keys", title: "Keys", icon: "key", load: () => import("./keys.js").then((module) => module.Keys) },
  { path: "/operator/keys/:keyId", title: "Key", within: "/operator/keys", load: () => import("./key.js").then((module) => module.KeyPage) },
  { path: "/operator/models", title: "Models", icon: "box", load: () => import("./models.js").then((module) => module.Models) },
  { path: "/operator/webhooks", title: "Webhooks", icon: "link", load: () => import("./webhooks.js").then((module) => module.Webhooks) },
  { path: "/operator/webhooks/:endpointId", title: "Webhook", within: "/operator/webhooks", load: () => import("./webhook.js").then((module) => module.WebhookPage) },
  { path: "/operator/deliveries/:deliveryId", title: "Delivery", within: "/operator/webhooks", load: () => import("./delivery.js").then((module) => module.DeliveryPage) },
  { path: "/operator/audit", title: "Audit", icon: "clock", load: () => import("./audit.js").then((module) => module.AuditLog) },
];
