throw new Error("cannot score\nrow 3 is bad", { cause: new TypeError("bad row") });
