"""Short questions in other languages, abuse, and sentences with the same words that are none."""

from __future__ import annotations

LANGUAGES = {
    "en": (
        "How much does a ticket cost?",
        "Where can I change my address?",
        "The lamp arrived broken yesterday.",
        "What is the warranty on this phone?",
    ),
    "de": (
        "Wie viel kostet eine Fahrkarte?",
        "Wo kann ich meine Adresse ändern?",
        "Die Lampe kam gestern kaputt an.",
        "Wie lange gilt die Garantie?",
    ),
    "fr": (
        "Combien coûte un billet ?",
        "Où puis-je changer mon adresse ?",
        "La lampe est arrivée cassée hier.",
        "Quelle est la garantie de ce téléphone ?",
    ),
    "es": (
        "¿Cuánto cuesta un billete?",
        "¿Dónde puedo cambiar mi dirección?",
        "La lámpara llegó rota ayer.",
        "¿Cuál es la garantía de este teléfono?",
    ),
    "it": (
        "Quanto costa un biglietto?",
        "Dove posso cambiare il mio indirizzo?",
        "La lampada è arrivata rotta ieri.",
        "Qual è la garanzia di questo telefono?",
    ),
    "nl": (
        "Hoeveel kost een kaartje?",
        "Waar kan ik mijn adres wijzigen?",
        "De lamp kwam gisteren kapot aan.",
        "Wat is de garantie op deze telefoon?",
    ),
    "pt": (
        "Quanto custa um bilhete?",
        "Onde posso mudar o meu endereço?",
        "A lâmpada chegou quebrada ontem.",
        "Qual é a garantia deste telefone?",
    ),
    "pl": (
        "Ile kosztuje bilet na pociąg?",
        "Gdzie mogę zmienić swój adres?",
        "Lampa przyszła wczoraj zepsuta.",
        "Jaka jest gwarancja na ten telefon?",
    ),
    "ru": (
        "Сколько стоит билет на поезд?",
        "Где я могу изменить свой адрес?",
        "Лампа вчера пришла сломанной.",
        "Какая гарантия на этот телефон?",
    ),
    "tr": ("Bir bilet ne kadar tutuyor?", "Adresimi nereden değiştirebilirim?", "Lamba dün kırık geldi.", "Bu telefonun garantisi nedir?"),
    "sv": (
        "Hur mycket kostar en biljett?",
        "Var kan jag ändra min adress?",
        "Lampan kom trasig i går.",
        "Vad är garantin på den här telefonen?",
    ),
    "ja": (
        "切符はいくらですか、教えてください。",
        "住所はどこで変更できますか、教えてください。",
        "ランプが昨日壊れて届きました、困っています。",
    ),
    "zh": ("请问一张去北京的火车票需要多少钱呢，谢谢您？", "我可以在哪里更改我的收货地址呢，请告诉我？"),
}
ABUSE = (
    "You are a complete idiot.", "What a worthless piece of garbage you are.", "Shut the fuck up.", "I will kill you when I find you.", "You stupid moron, learn to read.",
    "Go die in a fire.", "They are all vermin.", "This is bullshit and you know it.", "People like you deserve to suffer.", "f*ck off, a$$hole", "You're pathetic.", "He is such a loser.",
    "Nobody would miss you if you were gone.", "Your kind does not belong here.", "I hope your house floods.", "You have the brain of a houseplant.", "Crawl back to where you came from.",
    "Even your mother is ashamed of you.", "Women can't think straight.", "The world would be better without them.", "Bless your heart, thinking is not your strength.", "Watch your back.",
    "You should not be allowed near a keyboard.", "What a waste of oxygen.",
)  # fmt: skip
PLAIN = (
    "Kill the process with id 4711.", "The parent kills all of its children on exit.", "This script is a dirty hack, but it works.", "A dumb terminal has no memory.", "Garbage collection frees objects.",
    "The master branch was renamed.", "Trash the draft and begin again.", "He plays the fool in King Lear.", "The rat is a common laboratory animal.", "Shoot the photo at dusk.",
    "That is a useless use of cat.", "The bastard file is hand-and-a-half.", "Hang the picture above the sofa.", "You are right, and I was wrong.", "The pig farm is closed.", "We should destroy the old backups.",
    "An idiot-proof manual.", "Burn the disc at low speed.", "The function hangs on large input.", "Penistone and Scunthorpe are towns in England.",
)  # fmt: skip
