"""Neutral sentences for speech synthesisers, in the languages of the extended training pool."""

from __future__ import annotations

#: espeak-ng voice to sentences; written for this purpose.
SENTENCES: dict[str, tuple[str, ...]] = {
    "en-us": (
        "The committee will meet again on Thursday to discuss the new proposal.",
        "Please bring your identity card when you come to the office tomorrow.",
        "I could not reach you by phone, so I am leaving a short message.",
        "The train to the airport leaves every twenty minutes from platform four.",
        "Could you send me the documents before the end of the week?",
        "My grandmother keeps her recipes in a small wooden box in the kitchen.",
        "There was heavy rain in the mountains, and two roads are still closed.",
        "We have received your order and it will arrive within three days.",
        "He opened the window, looked at the garden, and said nothing for a while.",
        "Nobody in the village remembered when the old bridge had been built.",
        "It is important that you do not tell anyone about this conversation.",
        "Your account will be reviewed, and you will hear from us in writing.",
    ),
    "en-gb": (
        "The library is closed on Mondays, but the reading room stays open.",
        "She has worked at the hospital for more than fifteen years.",
        "What would you like to drink with your lunch?",
        "A small boat crossed the harbour just before the storm began.",
    ),
    "ko": (
        "안녕하세요, 오늘 오후 세 시에 병원 예약이 되어 있습니다.",
        "할머니께서는 매일 아침 공원에서 산책을 하십니다.",
        "서류를 준비해서 내일까지 은행으로 가져와 주시기 바랍니다.",
        "비가 많이 와서 산길이 막혔다고 합니다.",
        "지난주에 주문하신 물건이 내일 도착할 예정입니다.",
        "전화를 받지 않으셔서 짧은 메시지를 남깁니다.",
        "이 이야기는 아무에게도 말하지 마시고 바로 연락해 주세요.",
        "도서관은 월요일마다 문을 닫지만 열람실은 열려 있습니다.",
    ),
    "ja": (
        "あしたのかいぎは、ごご、さんじからはじまります。",
        "でんわにでられなかったので、みじかいめっせーじをのこします。",
        "まいあさ、こうえんをさんぽするのがすきです。",
        "しょるいは、しゅうまつまでにおくってください。",
    ),
    "es": (
        "La reunión empezará mañana a las tres de la tarde en la sala grande.",
        "No pude hablar contigo por teléfono, así que te dejo un mensaje.",
        "Mi abuela guarda sus recetas en una caja pequeña de madera.",
        "El tren al aeropuerto sale cada veinte minutos.",
    ),
    "fr": (
        "La réunion commencera demain à trois heures dans la grande salle.",
        "Je n'ai pas pu vous joindre, je laisse donc un court message.",
        "Ma grand-mère garde ses recettes dans une petite boîte en bois.",
        "Le train pour l'aéroport part toutes les vingt minutes.",
    ),
    "it": (
        "La riunione comincerà domani alle tre nella sala grande.",
        "Non sono riuscito a parlarti, quindi lascio un breve messaggio.",
        "Il treno per l'aeroporto parte ogni venti minuti.",
    ),
    "pt-br": (
        "A reunião vai começar amanhã às três horas na sala grande.",
        "Não consegui falar com você, então deixo uma mensagem curta.",
        "O trem para o aeroporto sai a cada vinte minutos.",
    ),
    "de": (
        "Die Besprechung beginnt morgen um drei Uhr im großen Saal.",
        "Ich konnte Sie nicht erreichen und hinterlasse eine kurze Nachricht.",
        "Der Zug zum Flughafen fährt alle zwanzig Minuten ab.",
    ),
    "cmn": (
        "明天下午三点我们在大会议室开会。",
        "我没有打通你的电话，所以留一条短信。",
        "去机场的火车每二十分钟一班。",
    ),
    "ru": (
        "Собрание начнётся завтра в три часа в большом зале.",
        "Я не смог до вас дозвониться и оставляю короткое сообщение.",
    ),
}
