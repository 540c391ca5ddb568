"""The words of the demo language: about 160 each of English, German and Spanish, side by side.

All were written for this project. The order of every table matters: words are drawn by position,
so a moved row changes the sentences of every random seed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that mean the same in the three languages and need no agreement."""

    en: str
    de: str
    es: str


@dataclass(frozen=True, slots=True)
class Noun:
    """A thing with its article: German in nominative and accusative, Spanish with its gender."""

    en: str
    de: str
    de_accusative: str
    es: str
    feminine_in_spanish: bool


@dataclass(frozen=True, slots=True)
class Adjective:
    """A quality in predicative position; only Spanish inflects it there."""

    en: str
    de: str
    es: str
    es_feminine: str

    def spanish_for(self, noun: Noun) -> str:
        """Return the Spanish form that agrees with `noun`."""
        return self.es_feminine if noun.feminine_in_spanish else self.es


NAMES = (
    "Anna", "Peter", "Maria", "Thomas", "Laura", "David", "Sofia", "Martin", "Julia", "Oscar",
)  # fmt: skip

NUMBERS = (
    Phrase("two", "zwei", "dos"),
    Phrase("three", "drei", "tres"),
    Phrase("four", "vier", "cuatro"),
    Phrase("five", "fünf", "cinco"),
    Phrase("six", "sechs", "seis"),
    Phrase("seven", "sieben", "siete"),
    Phrase("eight", "acht", "ocho"),
    Phrase("nine", "neun", "nueve"),
    Phrase("ten", "zehn", "diez"),
    Phrase("eleven", "elf", "once"),
    Phrase("twelve", "zwölf", "doce"),
    Phrase("fifteen", "fünfzehn", "quince"),
    Phrase("twenty", "zwanzig", "veinte"),
    Phrase("thirty", "dreißig", "treinta"),
    Phrase("forty", "vierzig", "cuarenta"),
    Phrase("fifty", "fünfzig", "cincuenta"),
    Phrase("hundred", "hundert", "cien"),
)
HOURS_OF_THE_CLOCK = NUMBERS[:11]

DAYS = (
    Phrase("on Monday", "am Montag", "el lunes"),
    Phrase("on Tuesday", "am Dienstag", "el martes"),
    Phrase("on Wednesday", "am Mittwoch", "el miércoles"),
    Phrase("on Thursday", "am Donnerstag", "el jueves"),
    Phrase("on Friday", "am Freitag", "el viernes"),
    Phrase("on Saturday", "am Samstag", "el sábado"),
    Phrase("on Sunday", "am Sonntag", "el domingo"),
)
TIMES = (
    *DAYS,
    Phrase("today", "heute", "hoy"),
    Phrase("tomorrow", "morgen", "mañana"),
    Phrase("now", "jetzt", "ahora"),
    Phrase("tonight", "heute Abend", "esta noche"),
    Phrase("next week", "nächste Woche", "la próxima semana"),
)

THINGS = (
    Noun("the car", "das Auto", "das Auto", "el coche", False),
    Noun("the house", "das Haus", "das Haus", "la casa", True),
    Noun("the door", "die Tür", "die Tür", "la puerta", True),
    Noun("the window", "das Fenster", "das Fenster", "la ventana", True),
    Noun("the table", "der Tisch", "den Tisch", "la mesa", True),
    Noun("the book", "das Buch", "das Buch", "el libro", False),
    Noun("the dog", "der Hund", "den Hund", "el perro", False),
    Noun("the cat", "die Katze", "die Katze", "el gato", False),
    Noun("the ball", "der Ball", "den Ball", "la pelota", True),
    Noun("the lamp", "die Lampe", "die Lampe", "la lámpara", True),
    Noun("the chair", "der Stuhl", "den Stuhl", "la silla", True),
    Noun("the phone", "das Telefon", "das Telefon", "el teléfono", False),
    Noun("the key", "der Schlüssel", "den Schlüssel", "la llave", True),
    Noun("the hat", "der Hut", "den Hut", "el sombrero", False),
    Noun("the bag", "die Tasche", "die Tasche", "la bolsa", True),
    Noun("the flower", "die Blume", "die Blume", "la flor", True),
    Noun("the train", "der Zug", "den Zug", "el tren", False),
    Noun("the bus", "der Bus", "den Bus", "el autobús", False),
    Noun("the picture", "das Bild", "das Bild", "el cuadro", False),
    Noun("the letter", "der Brief", "den Brief", "la carta", True),
)

QUALITIES = (
    Adjective("red", "rot", "rojo", "roja"),
    Adjective("blue", "blau", "azul", "azul"),
    Adjective("green", "grün", "verde", "verde"),
    Adjective("yellow", "gelb", "amarillo", "amarilla"),
    Adjective("black", "schwarz", "negro", "negra"),
    Adjective("white", "weiß", "blanco", "blanca"),
    Adjective("brown", "braun", "marrón", "marrón"),
    Adjective("big", "groß", "grande", "grande"),
    Adjective("small", "klein", "pequeño", "pequeña"),
    Adjective("new", "neu", "nuevo", "nueva"),
    Adjective("old", "alt", "viejo", "vieja"),
    Adjective("beautiful", "schön", "bonito", "bonita"),
)

PLACES = (
    Phrase("in the garden", "im Garten", "en el jardín"),
    Phrase("in the kitchen", "in der Küche", "en la cocina"),
    Phrase("at the station", "am Bahnhof", "en la estación"),
    Phrase("in the city", "in der Stadt", "en la ciudad"),
    Phrase("at home", "zu Hause", "en casa"),
    Phrase("at school", "in der Schule", "en la escuela"),
    Phrase("in the park", "im Park", "en el parque"),
    Phrase("at the beach", "am Strand", "en la playa"),
    Phrase("in the hotel", "im Hotel", "en el hotel"),
    Phrase("in the office", "im Büro", "en la oficina"),
)

FOODS = (
    Phrase("bread", "Brot", "pan"),
    Phrase("milk", "Milch", "leche"),
    Phrase("water", "Wasser", "agua"),
    Phrase("coffee", "Kaffee", "café"),
    Phrase("tea", "Tee", "té"),
    Phrase("apples", "Äpfel", "manzanas"),
    Phrase("cheese", "Käse", "queso"),
    Phrase("fish", "Fisch", "pescado"),
    Phrase("soup", "Suppe", "sopa"),
    Phrase("rice", "Reis", "arroz"),
)

ACTIONS = (
    Phrase("reads", "liest", "lee"),
    Phrase("sings", "singt", "canta"),
    Phrase("sleeps", "schläft", "duerme"),
    Phrase("works", "arbeitet", "trabaja"),
    Phrase("dances", "tanzt", "baila"),
    Phrase("plays", "spielt", "juega"),
    Phrase("waits", "wartet", "espera"),
    Phrase("learns", "lernt", "aprende"),
    Phrase("cooks", "kocht", "cocina"),
    Phrase("writes", "schreibt", "escribe"),
)
ACQUISITIONS = (
    Phrase("buys", "kauft", "compra"),
    Phrase("brings", "bringt", "trae"),
    Phrase("wants", "möchte", "quiere"),
)
COMMANDS = (
    Phrase("open {}", "öffne {}", "abre {}"),
    Phrase("bring me {}", "bring mir {}", "tráeme {}"),
    Phrase("look at {}", "sieh dir {} an", "mira {}"),
)

DURATIONS = (
    Phrase("minutes", "Minuten", "minutos"),
    Phrase("hours", "Stunden", "horas"),
    Phrase("days", "Tage", "días"),
)
WEATHERS = (
    Phrase("good", "gut", "bueno"),
    Phrase("bad", "schlecht", "malo"),
    Phrase("cold", "kalt", "frío"),
    Phrase("warm", "warm", "cálido"),
)
HERE_AND_NOW = (Phrase("today", "heute", "hoy"), Phrase("here", "hier", "aquí"))

SET_PHRASES = (
    Phrase("Good morning.", "Guten Morgen.", "Buenos días."),
    Phrase("Good evening.", "Guten Abend.", "Buenas tardes."),
    Phrase("Good night.", "Gute Nacht.", "Buenas noches."),
    Phrase("Thank you very much.", "Vielen Dank.", "Muchas gracias."),
    Phrase("How are you?", "Wie geht es dir?", "¿Cómo estás?"),
    Phrase("I do not understand.", "Ich verstehe nicht.", "No entiendo."),
    Phrase("What time is it?", "Wie spät ist es?", "¿Qué hora es?"),
    Phrase("See you tomorrow.", "Bis morgen.", "Hasta mañana."),
    Phrase("Turn on the light.", "Mach das Licht an.", "Enciende la luz."),
    Phrase("Turn off the light.", "Mach das Licht aus.", "Apaga la luz."),
    Phrase("Turn on the radio.", "Mach das Radio an.", "Enciende la radio."),
    Phrase("Turn off the radio.", "Mach das Radio aus.", "Apaga la radio."),
    Phrase("Play the music.", "Spiel die Musik.", "Pon la música."),
    Phrase("Please speak slowly.", "Bitte sprich langsam.", "Por favor habla despacio."),
)
