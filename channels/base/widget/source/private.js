// Whether a text holds what looks like a card number or a bank account: a question before it is sent,
// no more. The city looks again, more closely, at what arrives.

const LENGTHS = // of an IBAN, by country
  "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23" +
  "GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MR27MT31MU30" +
  "NL18NO15PK24PL28PS29PT25QA29RO24RS22SA24SC31SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22VG24XK20";
const DIGIT = /\p{Nd}/u;

export function looksPrivate(text) {
  const plain = text.replace(/\p{Nd}/gu, digit).toUpperCase();
  return card(plain) || account(plain);
}

// The digits of every script follow one another from 0 to 9.
function digit(character) {
  const code = character.codePointAt(0);
  let value = 0;
  while (DIGIT.test(String.fromCodePoint(code - value - 1))) value += 1;
  return value % 10;
}

function card(plain) {
  for (const [run] of plain.matchAll(/\d(?:[\s.()/\p{Pd}\p{Cf}]{0,4}\d){12,}/gu)) {
    const groups = run.match(/\d+/g);
    for (let first = 0; first < groups.length; first += 1) {
      let digits = "";
      for (let last = first; last < groups.length && digits.length < 19; last += 1) {
        digits += groups[last];
        if (digits.length > 12 && digits.length < 20 && luhn(digits)) return true;
      }
    }
  }
  return false;
}

function luhn(digits) {
  let sum = 0;
  for (let at = 1; at <= digits.length; at += 1) {
    const value = Number(digits.at(-at)) * (at % 2 ? 1 : 2);
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 === 0;
}

function account(plain) {
  for (const match of plain.matchAll(/(?:^|[^A-Z0-9])([A-Z]{2})[\s-]?\d[\s-]?\d/g)) {
    const at = LENGTHS.indexOf(match[1]);
    if (at < 0 || at % 4) continue;
    const length = Number(LENGTHS.slice(at + 2, at + 4));
    const start = match.index + match[0].indexOf(match[1]);
    const number = plain.slice(start).match(/^(?:[A-Z0-9][\s-]?)+/)[0].replace(/[\s-]/g, "").slice(0, length);
    if (number.length === length && remainder(number) === 1) return true;
  }
  return false;
}

function remainder(number) {
  let rest = 0;
  for (const character of number.slice(4) + number.slice(0, 4)) {
    for (const figure of String(parseInt(character, 36))) rest = (rest * 10 + Number(figure)) % 97;
  }
  return rest;
}
