class ScoreFailed extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "ScoreFailed";
    this.rows = { a: [1, 2], b: { c: 1 } };
  }
}
console.error("INFO before");
console.error(new ScoreFailed("cannot score\nsecond line"));
console.error("INFO between");
console.error(new ScoreFailed("cannot score", { cause: new Error("inner") }));
console.error("INFO after");
