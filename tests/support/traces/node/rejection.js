function score() {
  return Promise.reject("no model");
}
score();
