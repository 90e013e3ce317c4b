// First values out of the DICOM JSON model.

export const value = (json, tag) => json?.[tag]?.Value?.[0];

export function number(json, tag) {
  const found = value(json, tag);
  return found === undefined || found === null || found === "" || !Number.isFinite(Number(found)) ? undefined : Number(found);
}
