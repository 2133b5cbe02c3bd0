// Reactions without a potential of one's own: a path at the labelling level → frames about it → a committee that learned.

include { LABEL } from './labels'
include { LEARN } from './learn'
include { SAMPLE_TUBE; KEEP_POTENTIAL } from '../modules/reaction'

workflow LEARN_REACTION {
    take:
    settings
    checkpoints

    main:
    def r = settings.reaction
    def asked = [level: r.label_level, coupling_eV: 0, hessian: false, polarizability: false]
    SAMPLE_TUBE(
        file(settings.reads.reaction.structures, glob: false), settings.steps['sample-tube'], settings.code['sample_tube.py'],
    )
    LABEL(SAMPLE_TUBE.out.initial.map { [asked + [id: 'reaction-initial'], it] }, settings, checkpoints)
    LEARN(
        [id: 'reaction-round-', rounds: r.max_rounds + 1, first: 0, step: 'learn-tube', takes: ['frames', 'before', 'checkpoints'],
         asked: asked + [allow_none: true]],
        LABEL.out.labelled.map { meta, frames -> frames }, SAMPLE_TUBE.out.tube.map { [tube: it] }, settings, checkpoints,
    )
    KEEP_POTENTIAL(LEARN.out.state.map { it.rounds[-1] })

    emit:
    given = SAMPLE_TUBE.out.path.combine(KEEP_POTENTIAL.out).map { path, model -> ['reaction', ['structures', 'model'], [path, model]] }
}
