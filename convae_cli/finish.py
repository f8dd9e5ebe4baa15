"""What tasks do after training, with the trained model and the training images.

Each function takes the `Path` of the run folder, its `keras.Model` and the `Images`.
Help reads the tasks, and must not wait for Keras: it is imported inside.
"""


def fit_tables(run, model, images):
    """Counts a codec's tables of probabilities; stores them in its run folder."""
    from convae_keras.compression import fit_tables
    from convae_keras.runs import save_model

    fit_tables(model, images.x_train)
    save_model(run, model)


def fit_detector(run, model, images):
    """Fits a detector of anomalies to the training images; stores it, once."""
    from convae_keras.anomaly import anomaly_detector
    from convae_keras.runs import save_model
    from convae_keras.saving import read_json

    if not (run / "detector.keras").exists():
        print("The detector is fitted to the training and validation images.")
        if (rate := 1 / (1 + len(images.x_val))) > 0.01:
            share = f"about {rate:.0%} of normal images will be marked as unusual"
            print(f"Validation images are only {len(images.x_val)}: {share}.")
        seed = read_json(run / "settings.json")["seed"]
        detector = anomaly_detector(model, images.x_train, images.x_val, seed=seed)
        save_model(run, detector, "detector.keras")


def fit_generator(run, model, images):
    """Trains a flow to the codes; stores the generator and a picture, once."""
    from convae_keras.files.generated import write_generated
    from convae_keras.generation.flow import train_generator
    from convae_keras.runs import save_model
    from convae_keras.saving import read_json

    if not (run / "generator.keras").exists():
        # Few codes are learned in fewer epochs, each of as many batches.
        epochs = min(60, 10 + len(images.x_train) // 200)
        print(f"A flow from noise to the codes, {epochs} epochs, all or none of it:")
        options = {"epochs": epochs, "verbose": 2}
        options["seed"] = read_json(run / "settings.json")["seed"]
        generator = train_generator(model, images, **options)
        write_generated(generator, run / "samples.png", overwrite=True)
        save_model(run, generator, "generator.keras")
