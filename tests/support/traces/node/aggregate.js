async function score() {
  throw new AggregateError([new Error("a"), new Error("b\nb again")], "both failed");
}
score();
