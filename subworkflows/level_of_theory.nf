// Levels of theory against coupled cluster on dimers: frames → labels at each level and at the reference → errors.

include { LABEL } from './labels'
include { MAKE_DIMERS; ANALYSE_LEVELS } from '../modules/level_of_theory'

workflow LEVEL_OF_THEORY {
    take:
    settings
    checkpoints

    main:
    def l = settings.level_of_theory
    def of_level = { String level, boolean reference ->
        [id: "dimers-${level.replaceAll(/[^A-Za-z0-9]+/, '-')}${reference ? '-reference' : ''}".toString(),
         level: level, reference: reference, coupling_eV: settings.labels.coupling_eV, hessian: false, polarizability: false]
    }
    MAKE_DIMERS(
        Channel.of(false, true).map { [it, it && l.counterpoise] },
        settings.steps['make-dimers'], settings.code['make_dimers.py'],
    )
    wanted = Channel.fromList(l.levels.collect { of_level(it, false) } + [of_level(l.reference, true)])
    LABEL(
        wanted.combine(MAKE_DIMERS.out).filter { meta, reference, frames -> meta.reference == reference }
            .map { meta, reference, frames -> [meta, frames] },
        settings, checkpoints,
    )
    ANALYSE_LEVELS(
        LABEL.out.labelled.filter { meta, frames -> !meta.reference }.toSortedList { a, b -> a[0].id <=> b[0].id }
            .map { rows -> rows.collect { it[1] } + (l.dataset ? [file(l.dataset, glob: false)] : []) },
        LABEL.out.labelled.filter { meta, frames -> meta.reference }.map { meta, frames -> frames }.first(),
        file("${projectDir}/assets/reference/level_of_theory.csv"), settings.code['analyse_levels.py'],
    )

    emit:
    sections = ANALYSE_LEVELS.out
}
