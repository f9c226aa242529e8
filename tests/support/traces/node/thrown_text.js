throw "no model";
