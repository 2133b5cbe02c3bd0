// Active learning, for any experiment: rounds of training, proposing and labelling until a round is clean.
// Nextflow has no loops over processes: at most 64 rounds, in groups of eight, are built as they are asked for.

include { EIGHT_ROUNDS as EIGHT_1; EIGHT_ROUNDS as EIGHT_2; EIGHT_ROUNDS as EIGHT_3; EIGHT_ROUNDS as EIGHT_4 } from './eight_rounds'
include { EIGHT_ROUNDS as EIGHT_5; EIGHT_ROUNDS as EIGHT_6; EIGHT_ROUNDS as EIGHT_7; EIGHT_ROUNDS as EIGHT_8 } from './eight_rounds'

workflow LEARN {
    take:
    learning    // [id: 'infrared-round-', rounds: 41, first: 0, step: 'learn-round', takes: ['frames', 'before'], asked: [level: …]]
    frames      // labelled.extxyz to begin with, one file
    given       // options of the step that are the same in every round: [[minima: minima.extxyz]]
    settings    // of the run
    checkpoints

    main:
    state = frames.map { [frames: [it], failed: [], rounds: [], clean: false, model: learning.model ?: []] }
    if (learning.rounds > 0)  { EIGHT_1(0, state, learning, given, settings, checkpoints);  state = EIGHT_1.out.state }
    if (learning.rounds > 8)  { EIGHT_2(8, state, learning, given, settings, checkpoints);  state = EIGHT_2.out.state }
    if (learning.rounds > 16) { EIGHT_3(16, state, learning, given, settings, checkpoints); state = EIGHT_3.out.state }
    if (learning.rounds > 24) { EIGHT_4(24, state, learning, given, settings, checkpoints); state = EIGHT_4.out.state }
    if (learning.rounds > 32) { EIGHT_5(32, state, learning, given, settings, checkpoints); state = EIGHT_5.out.state }
    if (learning.rounds > 40) { EIGHT_6(40, state, learning, given, settings, checkpoints); state = EIGHT_6.out.state }
    if (learning.rounds > 48) { EIGHT_7(48, state, learning, given, settings, checkpoints); state = EIGHT_7.out.state }
    if (learning.rounds > 56) { EIGHT_8(56, state, learning, given, settings, checkpoints); state = EIGHT_8.out.state }

    emit:
    state // [frames: [labelled.extxyz of the start and of each round], failed: [failed.csv of each], rounds: [the step's folders], clean: …,
          //  model: the committee of the last round, where one is trained of Gaussian-moment networks]
}
