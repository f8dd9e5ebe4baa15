"""What tasks do after training, with the trained model and the training images.

Help reads the tasks, and must not wait for Keras: it is imported inside.
"""


def fit_tables(run, model, images):
    """Counts a codec's tables of probabilities; stores them in its run folder."""
    from convae_keras.compression import fit_tables
    from convae_keras.runs import save_model

    fit_tables(model, images.x_train)
    save_model(run, model)


def fit_generator(run, model, images):
    """Trains a flow to the codes; stores the generator in the run folder, once."""
    from convae_keras.generation.flow import train_generator
    from convae_keras.runs import save_model
    from convae_keras.saving import read_json

    if not (run / "generator.keras").exists():
        print("A flow from noise to the codes:")
        seed = read_json(run / "settings.json")["seed"]
        generator = train_generator(model, images, seed=seed, verbose=2)
        save_model(run, generator, "generator.keras")
