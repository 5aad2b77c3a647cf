let done = 0;

setInterval(() => {
  done += 1;
  console.log(`worker: ${done} ${done === 1 ? "job" : "jobs"} done`);
}, 5000);
console.log("worker: waiting for jobs");

process.on("SIGTERM", () => {
  console.log("worker: stopping");
  process.exit(0);
});
