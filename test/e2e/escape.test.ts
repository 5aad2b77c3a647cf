import { CONTAINER, escapeSuite } from "./escape.ts";

/** Issue 3, "Walls": the escape suite in the class `container`. */
escapeSuite(CONTAINER);
