import { surroundings } from "../surroundings";

/** Let the user keep a text as a file. */
export function save(name: string, type: string, text: string): void {
  surroundings.save(name, type, text);
}
