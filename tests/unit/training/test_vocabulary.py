from magicpose.training.vocabulary import learn_merges, train_tokenizer

CAPTIONS = ["bust of a young woman, with red hair", "half body of an old man, with white hair, red sweater"]


def test_known_words_are_one_token_and_unknown_ones_still_spell() -> None:
    tokenizer = train_tokenizer(CAPTIONS, 400, 20)
    ids = tokenizer("red hair, old woman").input_ids
    pieces = tokenizer.convert_ids_to_tokens(ids)
    assert pieces[1:-1] == ["red</w>", "hair</w>", ",</w>", "old</w>", "woman</w>"]
    assert tokenizer.decode(tokenizer("zebra").input_ids, skip_special_tokens=True).strip() == "zebra"
    assert len(tokenizer("", padding="max_length").input_ids) == 20


def test_merges_do_not_depend_on_order_and_stop_at_the_size() -> None:
    assert learn_merges(CAPTIONS, 30) == learn_merges(CAPTIONS[::-1], 30)
    assert len(learn_merges(CAPTIONS, 7)) == 7
    assert len(train_tokenizer(CAPTIONS, 100, 20)) <= 100
