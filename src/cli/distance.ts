const [HOUR, DAY, MONTH] = [60, 1440, 43_200] as const; // in minutes

/** `less than a minute`, `about 2 hours`, `over 1 year`: how far apart two times are, in the official client's words (date-fns). Pure. */
export function distance(one: Date, other: Date): string {
  const [early, late] = [one, other].toSorted((a, b) => a.getTime() - b.getTime()) as [Date, Date]; // there are two
  const minutes = Math.round(Math.trunc((late.getTime() - early.getTime()) / 1000) / 60);
  if (minutes < 1) return "less than a minute";
  if (minutes < 45) return counted(minutes, "minute");
  if (minutes < DAY) return `about ${counted(Math.max(1, Math.round(minutes / HOUR)), "hour")}`;
  if (minutes < 1.75 * DAY) return "1 day";
  if (minutes < MONTH) return counted(Math.round(minutes / DAY), "day");
  if (minutes < 2 * MONTH) return `about ${counted(Math.round(minutes / MONTH), "month")}`;
  const months = wholeMonths(early, late);
  if (months < 12) return counted(Math.round(minutes / MONTH), "month");
  const [years, more] = [Math.floor(months / 12), months % 12];
  if (more < 3) return `about ${counted(years, "year")}`;
  return more < 9 ? `over ${counted(years, "year")}` : `almost ${counted(years + 1, "year")}`;
}

function wholeMonths(early: Date, late: Date): number {
  const months = (late.getFullYear() - early.getFullYear()) * 12 + late.getMonth() - early.getMonth();
  const then = new Date(early);
  then.setMonth(early.getMonth() + months);
  return then > late ? months - 1 : months;
}

const counted = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? "" : "s"}`;
